package pgadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
)

// BeginDLQRedrive implements [dlq.Recorder]: it adds a row to outbox.dlq_redrives and returns its id. The login needs the
// role outbox_redrive.
func (s *Store) BeginDLQRedrive(ctx context.Context, begun dlq.Begun) (int64, error) {
	request, err := json.Marshal(begun.Request)
	if err != nil {
		return 0, fmt.Errorf("begin record: %w", err)
	}
	var id int64
	err = s.one(ctx, "begin record", "select outbox.begin_dlq_redrive($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.text::pg_catalog.json)",
		[]any{pgdb.Text(begun.RequestID), begun.QueueARN, begun.TargetARN, pgdb.Text(string(request))}, &id)
	return id, err
}

// EndDLQRedrive implements [dlq.Recorder]: it stores the answer in the row with that id. A row of another login, and one
// that has an answer, is an error.
func (s *Store) EndDLQRedrive(ctx context.Context, id int64, a *redrive.Answer) error {
	answer, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("end record: %w", err)
	}
	var ended *bool
	err = s.one(ctx, "end record", "select outbox.end_dlq_redrive($1::bigint, $2::pg_catalog.text::pg_catalog.json)", []any{id, pgdb.Text(string(answer))}, &ended)
	if err == nil && ended == nil {
		err = errNotOpen
	}
	return err
}

var errNotOpen = errors.New("end record: there is none that this login began and did not end")

// DLQRedrive is a row of outbox.dlq_redrives: a run that redrove a dead-letter queue.
type DLQRedrive struct {
	ID        int64     `json:"redrive_id"`
	StartedAt time.Time `json:"started_at"`
	// EndedAt and Answer are nil for a run that still lasts or was killed.
	EndedAt *time.Time `json:"ended_at"`
	// Login is the login of the database that the run had, and RequestID what it was invoked as: Lambda's id of the
	// invocation, or what the command line was given.
	Login     string `json:"login"`
	RequestID string `json:"request_id"`
	// Queue and SendTo are the ARNs of the dead-letter queue and of the queue to which its messages were sent.
	Queue   string          `json:"queue"`
	SendTo  string          `json:"send_to"`
	Request redrive.Request `json:"request"`
	Answer  *redrive.Answer `json:"answer"`
}

// DLQRedrives lists the latest rows of outbox.dlq_redrives, at most limit, the latest first.
func (s *Store) DLQRedrives(ctx context.Context, limit int) ([]DLQRedrive, error) {
	var out []DLQRedrive
	err := s.document(ctx, "list redrives", "select outbox.list_dlq_redrives($1::integer)::pg_catalog.text", []any{pgdb.Limit(limit)}, &out)
	return out, err
}
