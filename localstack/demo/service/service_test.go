package service_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/service"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// deliveries are n of them about few things, so that writers meet.
func deliveries(n int) []source.Delivery {
	all := make([]source.Delivery, n)
	for i := range all {
		all[i] = source.Delivery{
			Provider: "github", Event: "issues", Action: "edited",
			Scope: fmt.Sprintf("o/r%d", i%3), Body: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
		}
		if i%2 == 0 {
			all[i].Kind, all[i].Item, all[i].Title = "issue", fmt.Sprint(i%5), "t"
		}
	}
	return all
}

func TestEventsAndReadModelCommitTogether(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(8))
	s := service.New(pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var p service.Progress
	rec := history.New()
	const n = 600
	load := service.Load{Writers: 6, Batch: 4, RollBack: 0.2, Late: 0.05, LateBy: 5 * time.Millisecond, Seed: 1}
	if err := s.Run(t.Context(), slices.Values(deliveries(n)), load, rec, &p); err != nil {
		t.Fatal(err)
	}
	committed, rolledBack := p.Committed.Load(), p.RolledBack.Load()
	if committed+rolledBack != n || rolledBack == 0 || p.Late.Load() == 0 {
		t.Errorf("committed %d, rolled back %d, late %d of %d", committed, rolledBack, p.Late.Load(), n)
	}
	var rows, aboutItems int64
	err := pool.QueryRow(t.Context(), "select count(*), count(*) filter (where destination = 'default') from outbox.events").Scan(&rows, &aboutItems)
	if err != nil {
		t.Fatal(err)
	}
	all, items, err := s.Deliveries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows != committed || all != committed || items != aboutItems || items == 0 {
		t.Errorf("committed %d, events %d (%d about items), read model %d (%d about items)", committed, rows, aboutItems, all, items)
	}
	// Nothing carries the events, so the checker must miss every one of them.
	v := rec.Check(history.Config{})
	if v.Committed != int(committed) || v.RolledBack != int(rolledBack) || v.Violations[history.Lost] != int(committed) {
		t.Errorf("verdict %s", v)
	}
}

func TestInOrderKeepsTheOrderOfEachAggregate(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(8))
	s := service.New(pool)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var p service.Progress
	load := service.Load{Writers: 4, Batch: 3, InOrder: true}
	if err := s.Run(t.Context(), slices.Values(deliveries(300)), load, history.New(), &p); err != nil {
		t.Fatal(err)
	}
	var count, disorder int
	err := pool.QueryRow(t.Context(), `
		select count(*), count(*) filter (where n < before) from (
			select (payload->>'n')::int as n,
			       lag((payload->>'n')::int) over (partition by aggregate_type, aggregate_id order by id) as before
			from outbox.events
		) e`).Scan(&count, &disorder)
	if err != nil {
		t.Fatal(err)
	}
	if count != 300 || disorder != 0 {
		t.Errorf("%d events, %d out of order", count, disorder)
	}
}

func TestFirstErrorEndsTheLoad(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	var p service.Progress
	err := service.New(pool).Run(t.Context(), slices.Values(deliveries(50)), service.Load{Writers: 2, Batch: 2}, history.New(), &p)
	if err == nil || p.Committed.Load() != 0 {
		t.Errorf("err = %v, %d committed without a read model", err, p.Committed.Load())
	}
}

func TestSteadyPartKeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		service.Feed(t.Context(), slices.Values(deliveries(100)), service.Load{Rate: 10, Steady: 31}, func(source.Delivery) {})
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %s, want 30 steps of 100 ms and then none", took)
		}
	})
}
