package sqsdlq

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
)

// Engine answers requests for dead-letter queues of SQS. It is safe for concurrent use.
type Engine struct {
	finder Finder
	engine *dlq.Engine
}

var _ redrive.Engine = (*Engine)(nil)

// NewEngine returns an engine that finds the queue to send to with finder. Its error names every fault of cfg.
func NewEngine(finder Finder, cfg dlq.Config) (*Engine, error) {
	engine, err := dlq.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Engine{finder: finder, engine: engine}, nil
}

// Run implements [redrive.Engine]. It fails also when the request names no dead-letter queue, when that queue
// does not exist, and when no queue to send to, or more than one, is found for it.
func (e *Engine) Run(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error) {
	if r.Queue == "" {
		return redrive.Answer{}, &redrive.FieldError{Field: "queue", Problem: "is missing: name the dead-letter queue"}
	}
	route, err := e.finder.Find(ctx, r.Queue, r.SendTo)
	if err != nil {
		return redrive.Answer{}, err
	}
	return e.engine.Run(ctx, route, r, until)
}
