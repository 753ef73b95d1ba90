//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"sync"

	lambdalocal "github.com/serverless-outbox/serverless-outbox/localstack/lambda"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// invocations counts how the invocations of a run ended.
type invocations struct {
	mu sync.Mutex
	invocationCounts
}

type invocationCounts struct {
	all, failed int
	// overran counts those that the runtime had to kill at their deadline
	// although nothing had frozen them.
	overran int
	fenced  int64
}

func (w *world) ended(r lambdalocal.Response, err error) {
	e := &w.ends
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all++
	if err != nil {
		e.failed++
		failure := (*lambdalocal.FunctionError)(nil)
		if errors.As(err, &failure) && failure.Type == lambdalocal.TypeTimeout {
			if _, frozen := w.frozen.Load(r.RequestID); !frozen {
				e.overran++
			}
		}
		return
	}
	var summary relay.Summary
	if json.Unmarshal(r.Payload, &summary) == nil {
		e.fenced += summary.Fenced
	}
}

func (e *invocations) counts() invocationCounts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.invocationCounts
}
