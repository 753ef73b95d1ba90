package pgadmin_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// again gives the next row the id, as the sequence does after a failover that lost the row of that id.
func again(t *testing.T, pool *pgxpool.Pool, id int64) {
	t.Helper()
	query[int64](t, pool, "select setval('outbox.events_id_seq', $1::bigint, false)", id)
}

// The ids of two dead letters are one: a page ends behind both, and each goes back by itself.
func TestTwoDeadLettersOfOneRowIDAreRedrivenAsTwoEvents(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	relayID := join(t, store)
	a := insert(t, pool, "a")
	first := eventIDOf(t, pool, "events", a)
	bury(t, store, relayID, false, a)
	again(t, pool, a)
	b := insert(t, pool, "b")
	second := eventIDOf(t, pool, "events", b)
	bury(t, store, relayID, false, b)
	page, err := store.RedriveDeadLetters(t.Context(), rows.Batch{Request: &redrive.Request{Confirm: true, DryRun: true}, RequestID: "me", Limit: 1})
	if err != nil || len(page) != 2 || page[0].EventID == page[1].EventID {
		t.Fatalf("a page of one = %+v, %v, want both events of the id", page, err)
	}
	only := redrive.Request{Confirm: true}
	only.EventIDs = []uuid.UUID{second}
	if got := redriveDead(t, store, only); len(got) != 1 || got[0].EventID != second || got[0].Outcome != rows.Redriven {
		t.Errorf("redriven = %+v, want the second event", got)
	}
	// The id is that of the second event now, so the first stays a dead letter.
	if got := redriveDead(t, store, redrive.Request{Confirm: true}); len(got) != 1 || got[0].EventID != first || got[0].Outcome != rows.Refused {
		t.Errorf("redriven = %+v, want the first event refused", got)
	}
	if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d dead,%d pending", a, a) {
		t.Errorf("events = %s", got)
	}
}

// The broker answered two rows of one event id with one message id.
func TestLookupTellsARowThatTheBrokerDroppedAsADuplicate(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	a, b := insert(t, pool, "a"), insert(t, pool, "a")
	event := eventIDOf(t, pool, "events", a)
	exec(t, pool, "update outbox.events set event_id = (select event_id from outbox.events where id = $1::bigint), sent_at = now(), message_id = 'm'", a)
	l, err := store.Lookup(t.Context(), event)
	if err != nil || l.ID != b || l.DuplicateOf != a || len(l.Others) != 1 || l.Others[0].DuplicateOf != 0 {
		t.Errorf("lookup = %+v, %v, want row %d as a duplicate of row %d", l, err, b, a)
	}
}

// A sent row whose id is that of an archived event of another time stays beside it.
func TestNoArchivedEventIsOverwrittenByAnotherOfItsID(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	relayID := join(t, store)
	const move = "select outcome || ' ' || moved || ' ' || kept from outbox.move_sent(0, 0, clock_timestamp(), 100)"
	a := insert(t, pool, "a")
	first := eventIDOf(t, pool, "events", a)
	settle(t, store, relayID, accept(a))
	if got := query[string](t, pool, move); got != "done 1 0" {
		t.Fatalf("moved = %s", got)
	}
	again(t, pool, a)
	b, c := insert(t, pool, "b"), insert(t, pool, "c")
	second := eventIDOf(t, pool, "events", b)
	settle(t, store, relayID, accept(b, c))
	if got := query[string](t, pool, move); got != "done 1 1" {
		t.Errorf("moved = %s, want the row of a new id moved and the other kept", got)
	}
	if eventIDOf(t, pool, "archive", a) != first || eventIDOf(t, pool, "events", a) != second {
		t.Error("one of the two events of the id is gone")
	}
}
