package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/storetest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, f func(*testing.T, storetest.Harness)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := memory.NewStore()
			f(t, storetest.Harness{
				Store:   s,
				Begin:   func(*testing.T) storetest.Tx { return tx{s.Begin()} },
				Release: func(_ *testing.T, lane outbox.Lane) { s.Release(lane) },
				Redrive: func(_ *testing.T, id int64) { s.Redrive(id) },
				Blocked: func(_ *testing.T, lane outbox.Lane) bool { return s.IsBlocked(lane) },
			})
		})
	})
}

type tx struct{ *memory.Tx }

func (x tx) Enqueue(_ *testing.T, e outbox.Event) int64 { return x.Tx.Enqueue(e)[0].ID }
func (x tx) Commit(*testing.T)                          { x.Tx.Commit() }
func (x tx) Rollback(*testing.T)                        { x.Tx.Rollback() }
