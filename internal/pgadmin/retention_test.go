package pgadmin_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// deleteDeadLetters has the retention of all dead letters end, and wants as many to be deleted as it says.
func deleteDeadLetters(t *testing.T, s *store, want int64) {
	t.Helper()
	if got, err := s.DeleteDeadLetters(t.Context(), time.Now().Add(time.Hour), 100); err != nil || got != want {
		t.Fatalf("deleted %d dead letters: %v; want %d", got, err, want)
	}
}

func TestRetentionKeepsTheDeadLetterThatALaneIsBlockedBehind(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	earlier, head, behind, elsewhere := insert(t, pool, "a"), insert(t, pool, "a"), insert(t, pool, "a"), insert(t, pool, "b")
	bury(t, store, id, false, earlier, elsewhere)
	bury(t, store, id, true, head)
	deleteDeadLetters(t, store, 2)
	if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d dead,%d pending", head, behind) {
		t.Errorf("events = %s", got)
	}
	if got := releaseBlocked(t, store, redrive.Request{}); outcomes(got) != fmt.Sprintf("%d redriven ", head) || !got[0].Ordered {
		t.Errorf("release = %+v", got)
	}
}

func TestReleaseOfALaneWhoseDeadLetterIsGoneNeedsConfirmation(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	head := insert(t, pool, "a")
	bury(t, store, id, true, head)
	exec(t, pool, "delete from outbox.dead_letters")
	for _, r := range []redrive.Request{{}, {DryRun: true}} {
		if got := releaseBlocked(t, store, r); outcomes(got) != fmt.Sprintf("%d unconfirmed ", head) || got[0].Ordered {
			t.Errorf("release by %+v = %+v", r, got)
		}
	}
	if query[bool](t, pool, "select bool_or(released_at is not null) from outbox.blocked") {
		t.Error("the lane is released without confirmation")
	}
	if got := releaseBlocked(t, store, redrive.Request{Confirm: true}); outcomes(got) != fmt.Sprintf("%d released ", head) {
		t.Errorf("confirmed release = %+v", got)
	}
}

func TestEventWhoseDeadLetterWasDeletedIsKnownToBeNeverSent(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	exec(t, pool, "update outbox.settings set keep = '0'")
	store := newStore(pool)
	relayID := join(t, store)
	dead := insert(t, pool, "a")
	eventID := eventIDOf(t, pool, "events", dead)
	bury(t, store, relayID, false, dead)
	deleteDeadLetters(t, store, 1)
	got, err := store.Lookup(t.Context(), eventID)
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	if got.State != pgadmin.Deleted || got.ID != dead || got.AggregateID != "a" || got.Code != "C" || got.Reason != "R" || got.Attempts != 3 ||
		got.DeadAt == nil || got.DeletedAt == nil || got.DeletedAt.Before(*got.DeadAt) {
		t.Errorf("location = %+v", got)
	}
	// The record has a retention of its own.
	if n, err := store.DeleteRedrives(t.Context(), time.Now().Add(-time.Hour), 100); err != nil || n != 0 {
		t.Errorf("deleted %d records before their time: %v", n, err)
	}
	if n, err := store.DeleteRedrives(t.Context(), time.Now().Add(time.Hour), 100); err != nil || n != 1 {
		t.Errorf("deleted %d records: %v", n, err)
	}
	if _, err := store.Lookup(t.Context(), eventID); !errors.Is(err, pgadmin.ErrNotFound) {
		t.Errorf("lookup without a record: %v", err)
	}
}
