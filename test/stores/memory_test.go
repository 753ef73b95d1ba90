package stores_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, f func(*testing.T, harness)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := memory.NewStore()
			f(t, harness{
				store:    s,
				begin:    func(*testing.T) writer { return memoryWriter{s.Begin()} },
				release:  func(_ *testing.T, lane outbox.Lane) { s.Release(lane) },
				redrive:  func(_ *testing.T, id int64) { s.Redrive(id) },
				dead:     func(_ *testing.T, event uuid.UUID) bool { return s.IsDeadEvent(event) },
				explicit: func(_ *testing.T, id int64, e outbox.Event) { s.Insert(id, e) },
				restart:  func(_ *testing.T, next int64) { s.Restart(next) },
				blocked:  func(_ *testing.T, lane outbox.Lane) bool { return s.IsBlocked(lane) },
			})
		})
	})
}

type memoryWriter struct{ *memory.Tx }

func (x memoryWriter) Enqueue(_ *testing.T, e outbox.Event) int64 { return x.Tx.Enqueue(e)[0].ID }
func (x memoryWriter) Commit(*testing.T)                          { x.Tx.Commit() }
func (x memoryWriter) Rollback(*testing.T)                        { x.Tx.Rollback() }
