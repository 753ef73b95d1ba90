package pgadmin_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// They are named however many others wait, while a relay runs and after it.
func TestStatusNamesUnknownDestinations(t *testing.T) {
	t.Parallel()
	pool, store := open(t, 0)
	for range 20 {
		insertTo(t, pool, "known", "a")
	}
	insertTo(t, pool, "misspelt", "a")
	named := func(want ...string) {
		t.Helper()
		st, err := store.Status(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range st.Destinations {
			if d.Unknown {
				got = append(got, d.Destination)
			}
		}
		if !slices.Equal(got, want) || len(st.Destinations) != 2 || st.Pending != 10 {
			t.Errorf("%d pending, unknown of %+v: %v, want %v", st.Pending, st.Destinations, got, want)
		}
	}
	named()
	id := join(t, store)
	renew(t, store, relay.Renewal{RelayID: id})
	at := relay.Position{Low: 21, Lows: map[string]int64{"known": 3, "more": 21}}
	renew(t, store, relay.Renewal{RelayID: id, Position: at})
	named("misspelt")
	exec(t, pool, "update outbox.relays set lease_until = now() - interval '1 hour'")
	exec(t, pool, "select outbox.expire_relays(now())")
	named("misspelt")
}

func TestStatusAndLookup(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			renew(t, store, relay.Renewal{RelayID: id})
			sent, dead, held, pending, archived := insert(t, pool, "a"), insert(t, pool, "b"), insert(t, pool, "b"), insertTo(t, pool, "other", "c"), insert(t, pool, "d")
			eventIDs := map[int64]uuid.UUID{}
			for _, n := range []int64{sent, dead, held, pending, archived} {
				eventIDs[n] = uuid.MustParse(query[string](t, pool, "select event_id::text from outbox.events where id = $1::bigint", n))
			}
			s := accept(sent, archived)
			s.DeadLetters = []relay.DeadLetter{{ID: dead, Attempts: 4, Code: "C", Reason: "R", Block: true}}
			settle(t, store, id, s)
			exec(t, pool, `insert into outbox.archive (id, created_at, sent_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, message_id)
			select id, created_at, sent_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, message_id from outbox.events where id = $1::bigint`, archived)
			exec(t, pool, "delete from outbox.events where id = $1::bigint", archived)

			for n, want := range map[int64]pgadmin.Location{
				sent:     {State: pgadmin.Sent, MessageID: "m1", SequenceNumber: "s"},
				dead:     {State: pgadmin.Dead, Attempts: 4, Code: "C", Reason: "R"},
				held:     {State: pgadmin.Blocked, Owner: "test", BlockReason: "R"},
				pending:  {State: pgadmin.Pending, Owner: "test"},
				archived: {State: pgadmin.Archived, MessageID: "m5"},
			} {
				got, err := store.Lookup(t.Context(), eventIDs[n])
				if err != nil {
					t.Fatalf("lookup of the %s event: %v", want.State, err)
				}
				if got.ID != n || got.EventID != eventIDs[n] || got.AggregateType != "order" || got.CreatedAt.IsZero() {
					t.Errorf("%s event = %+v", want.State, got)
				}
				if got.State != want.State || got.MessageID != want.MessageID || got.SequenceNumber != want.SequenceNumber ||
					got.Attempts != want.Attempts || got.Code != want.Code || got.Reason != want.Reason ||
					got.Owner != want.Owner || got.BlockReason != want.BlockReason {
					t.Errorf("location = %+v, want %+v", got, want)
				}
				if (got.BlockedBy != nil) != (want.State == pgadmin.Blocked) || got.BlockedBy != nil && *got.BlockedBy != eventIDs[dead] {
					t.Errorf("the %s event is blocked by %v", want.State, got.BlockedBy)
				}
				if (got.SentAt != nil) != (want.State == pgadmin.Sent || want.State == pgadmin.Archived) || (got.DeadAt != nil) != (want.State == pgadmin.Dead) {
					t.Errorf("times of the %s event: sent %v, dead %v", want.State, got.SentAt, got.DeadAt)
				}
			}
			if _, err := store.Lookup(t.Context(), uuid.New()); !errors.Is(err, pgadmin.ErrNotFound) {
				t.Errorf("lookup of no event = %v, want ErrNotFound", err)
			}

			st, err := store.Status(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			if st.Pending != 2 || len(st.Destinations) != 2 || st.Destinations[0].Destination != "default" || st.Destinations[1].Pending != 1 || st.Destinations[0].Oldest.IsZero() {
				t.Errorf("pending = %d, %+v", st.Pending, st.Destinations)
			}
			if st.DeadLetters != 1 || st.Blocked != 1 || st.Now.IsZero() {
				t.Errorf("dead letters, blocked, now = %d, %d, %v", st.DeadLetters, st.Blocked, st.Now)
			}
			if st.SchemaVersion != pgstore.Version() {
				t.Errorf("schema version = %d, want %d", st.SchemaVersion, pgstore.Version())
			}
			if len(st.Relays) != 1 || st.Relays[0].RelayID != id || st.Relays[0].Shards != 64 || st.Relays[0].Name != "test" {
				t.Errorf("relays = %+v", st.Relays)
			}
			if len(st.Shards) != 64 || st.Shards[9].Owner == nil || *st.Shards[9].Owner != id || st.Shards[9].Epoch != 1 {
				t.Errorf("%d shards", len(st.Shards))
			}
			if bounded, err := store.Status(t.Context(), 1); err != nil || bounded.Pending != 1 {
				t.Errorf("bounded pending = %d, %v", bounded.Pending, err)
			}
		})
	}
}

func TestRelayRoleMayLookAtTheOutbox(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	own := pgadmin.New(login(t, outboxtest.DB(t, outboxtest.Direct()), "outbox_relay"))
	if _, err := own.Status(t.Context(), 10); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := own.Lookup(t.Context(), uuid.New()); !errors.Is(err, pgadmin.ErrNotFound) {
		t.Errorf("lookup: %v", err)
	}
}
