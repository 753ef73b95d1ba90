package pgstore_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestLeaseOverItsWholeLife(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			exec(t, pool, "select setval('outbox.events_id_seq', 1000)")
			first := join(t, store)
			lease := renew(t, store, relay.Renewal{RelayID: first})
			if len(lease.Shards) != outbox.Shards || lease.Target != outbox.Shards || lease.Shards[5].Epoch != 1 || lease.Now.IsZero() {
				t.Fatalf("first lease = %+v", lease)
			}
			at := relay.Position{
				Low: 100, Gaps: []relay.Range{{From: 7, To: 7}, {From: 20, To: 30}}, Lows: map[string]int64{"a": 100, "b, \"quoted\"": 12},
			}
			renew(t, store, relay.Renewal{RelayID: first, Position: at})

			second := join(t, store)
			if got := renew(t, store, relay.Renewal{RelayID: second, Relays: 2}); len(got.Shards) != 0 || got.Target != 32 {
				t.Fatalf("second lease = %+v, want no shard yet and a target of 32", got)
			}
			lease = renew(t, store, relay.Renewal{RelayID: first, Relays: 2, Position: at, GiveBack: allShards()[:32]})
			if len(lease.Shards) != 32 || lease.Target != 32 {
				t.Fatalf("after the release the first has %d shards, target %d", len(lease.Shards), lease.Target)
			}
			lease = renew(t, store, relay.Renewal{RelayID: second, Relays: 2})
			if !slices.Equal(shardsOf(lease), allShards()[:32]) {
				t.Fatalf("the second has %v", shardsOf(lease))
			}
			if got := lease.Shards[0]; got.Epoch != 2 || !reflect.DeepEqual(got.Resume, at) {
				t.Errorf("shard handed over = %+v, want epoch 2 and to resume at %+v", got, at)
			}
			at.Low = 200
			if err := store.Leave(t.Context(), first, eraOf(t, store), at); err != nil {
				t.Fatal(err)
			}
			if err := store.Leave(t.Context(), first, eraOf(t, store), relay.Position{Low: 999}); err != nil {
				t.Errorf("leaving twice: %v", err)
			}
			lease = renew(t, store, relay.Renewal{RelayID: second, Relays: 2})
			if len(lease.Shards) != outbox.Shards || !reflect.DeepEqual(lease.Shards[63].Resume, at) {
				t.Errorf("after the first left: %d shards, resume %+v", len(lease.Shards), lease.Shards[63].Resume)
			}
			_, err := store.Renew(t.Context(), relay.Renewal{RelayID: first, TTL: ttl, Relays: 2})
			if !errors.Is(err, relay.ErrLeaseLost) {
				t.Errorf("renewing after leaving = %v, want ErrLeaseLost", err)
			}
		})
	}
}

func TestJoinAdmitsAsManyAsShareTheWork(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	ask := func(id uuid.UUID, runFor time.Duration) bool {
		t.Helper()
		ok, err := store.Join(t.Context(), relay.Join{RelayID: id, TTL: ttl, RunFor: runFor, JoinWindow: time.Minute, Relays: 2})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	ending, long, other := uuid.New(), uuid.New(), uuid.New()
	if !ask(ending, 30*time.Second) || !ask(long, time.Hour) || !ask(other, time.Hour) {
		t.Fatal("refused although only one relay is there to stay")
	}
	refused := uuid.New()
	if ask(refused, time.Hour) {
		t.Error("admitted although two relays are there to stay")
	}
	if n := query[int](t, pool, "select count(*) from outbox.relays"); n != 3 {
		t.Errorf("%d relays, want 3: a refusal changes nothing", n)
	}
	if !ask(long, time.Hour) {
		t.Error("asking again after a lost answer was refused")
	}
	lapse(t, pool, long)
	if !ask(refused, time.Hour) {
		t.Error("refused although one of the two has lapsed")
	}
}

func TestOfManyNewcomersOneIsAdmitted(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	var admitted sync.Map
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			id := uuid.New()
			ok, err := store.Join(t.Context(), relay.Join{RelayID: id, TTL: ttl, RunFor: time.Hour, Relays: 1})
			if err != nil {
				t.Errorf("join: %v", err)
			}
			if ok {
				admitted.Store(id, true)
			}
		})
	}
	group.Wait()
	n := 0
	admitted.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d of 20 were admitted, want 1", n)
	}
}

func TestTheYoungestTakeOver(t *testing.T) {
	t.Parallel()
	store := pgstore.New(outboxtest.DB(t))
	old := join(t, store)
	renew(t, store, relay.Renewal{RelayID: old})
	young := join(t, store)
	if got := renew(t, store, relay.Renewal{RelayID: young}); got.Target != outbox.Shards {
		t.Errorf("target of the young = %d", got.Target)
	}
	if got := renew(t, store, relay.Renewal{RelayID: old}); got.Target != 0 || len(got.Shards) != outbox.Shards {
		t.Errorf("the old one has target %d and %d shards, want 0 and all until it gives them back", got.Target, len(got.Shards))
	}
	// One that leaves takes no share away from the others.
	if got := renew(t, store, relay.Renewal{RelayID: young, Leaving: true}); got.Target != 0 || len(got.Shards) != 0 {
		t.Errorf("leaving: target %d, %d shards", got.Target, len(got.Shards))
	}
	if got := renew(t, store, relay.Renewal{RelayID: old}); got.Target != outbox.Shards {
		t.Errorf("target of the old one = %d, want all: the young one leaves", got.Target)
	}
}

func TestTakeoverOfALapsedLease(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	exec(t, pool, "select setval('outbox.events_id_seq', 1000)")
	dead, heir := pgstore.New(pool), pgstore.New(pool)
	a := join(t, dead)
	renew(t, dead, relay.Renewal{RelayID: a})
	at := relay.Position{Low: 42, Gaps: []relay.Range{{From: 3, To: 4}}, Lows: map[string]int64{"a": 41}}
	renew(t, dead, relay.Renewal{RelayID: a, Position: at})
	lapse(t, pool, a)
	// Nobody took it over yet, so it may go on.
	renew(t, dead, relay.Renewal{RelayID: a, Position: at})
	lapse(t, pool, a)

	b := join(t, heir)
	lease := renew(t, heir, relay.Renewal{RelayID: b})
	if len(lease.Shards) != outbox.Shards || lease.Shards[0].Epoch != 2 || !reflect.DeepEqual(lease.Shards[0].Resume, at) {
		t.Errorf("the heir has %d shards, the first %+v", len(lease.Shards), lease.Shards[0])
	}
	if _, err := dead.Renew(t.Context(), relay.Renewal{RelayID: a, TTL: ttl, Relays: 1}); !errors.Is(err, relay.ErrLeaseLost) {
		t.Errorf("renewal of the dead = %v, want ErrLeaseLost", err)
	}
	if err := dead.Leave(t.Context(), a, eraOf(t, dead), relay.Position{Low: 999}); err != nil {
		t.Errorf("leaving after the loss: %v", err)
	}
	if n := query[int](t, pool, "select count(*) from outbox.shards where low = 999"); n != 0 {
		t.Errorf("the dead one's position got into %d shards", n)
	}
}

// A relay takes a shard that resumes at 10 while its own position is at 500. If
// it dies before it can allow for that, or never got the answer, the next one
// must still resume at 10.
func TestPositionCountsOnlyForShardsTheRelayKnows(t *testing.T) {
	t.Parallel()
	resume := relay.Position{Low: 10, Gaps: []relay.Range{{From: 8, To: 9}}}
	far := relay.Position{Low: 500}
	for name, c := range map[string]struct {
		afterTaking func(t *testing.T, pool *pgxpool.Pool, id uuid.UUID)
		want        relay.Position
	}{
		"dies after taking it": {
			func(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) { t.Helper(); lapse(t, pool, id) },
			resume,
		},
		"loses the answer, renews, dies": {
			func(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) {
				t.Helper()
				// A store that was told nothing is one whose answers got lost.
				renew(t, pgstore.New(pool), relay.Renewal{RelayID: id, Position: far, GiveBack: allShards()})
				lapse(t, pool, id)
			},
			resume,
		},
		"loses the answer and leaves": {
			func(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) {
				t.Helper()
				if err := pgstore.New(pool).Leave(t.Context(), id, eraOf(t, pgstore.New(pool)), far); err != nil {
					t.Fatal(err)
				}
			},
			resume,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t)
			store := pgstore.New(pool)
			exec(t, pool, "select setval('outbox.events_id_seq', 1000)")
			exec(t, pool, "update outbox.shards set low = 10, gaps = '{[8,9]}'")
			id := join(t, store)
			renew(t, store, relay.Renewal{RelayID: id, Position: far})
			c.afterTaking(t, pool, id)
			heir := join(t, store)
			got := renew(t, store, relay.Renewal{RelayID: heir})
			if len(got.Shards) != outbox.Shards || !reflect.DeepEqual(got.Shards[0].Resume, c.want) {
				t.Errorf("%d shards, resume = %+v, want %+v", len(got.Shards), got.Shards[0].Resume, c.want)
			}
		})
	}
}

func TestARelayThatNeverReadKeepsThePosition(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	exec(t, pool, "select setval('outbox.events_id_seq', 1000)")
	exec(t, pool, "update outbox.shards set low = 10, gaps = '{[8,9]}'")
	id := join(t, store)
	renew(t, store, relay.Renewal{RelayID: id})
	renew(t, store, relay.Renewal{RelayID: id})
	if err := store.Leave(t.Context(), id, eraOf(t, store), relay.Position{}); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, pool, "select count(*) from outbox.shards where low = 10 and gaps = '{[8,9]}' and owner is null"); n != outbox.Shards {
		t.Errorf("%d shards kept their position, want all", n)
	}
}

// The renewal is held open in a transaction: the takeover must not count the
// lease as lapsed, neither while it waits nor after.
func TestTakeoverDoesNotOvertakeARenewal(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	holder, rival := join(t, store), join(t, store)
	renew(t, store, relay.Renewal{RelayID: holder, Relays: 2})
	lapse(t, pool, holder)

	renewal := begin(t, pool)
	if got := query[string](t, renewal, `select outbox.renew_relay($1::uuid, 0, false, '1 hour', 2, false, '{}', '{}', '{}', 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')::text`, holder.String()); got == "" {
		t.Fatal("not renewed")
	}
	done := make(chan relay.Lease, 1)
	go func() {
		lease, err := store.Renew(t.Context(), relay.Renewal{RelayID: rival, TTL: ttl, Relays: 2})
		if err != nil {
			t.Errorf("renew: %v", err)
		}
		done <- lease
	}()
	waitBlocked(t, pool)
	if err := renewal.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	if n := query[int](t, pool, "select count(*) from outbox.relays where relay_id = $1::uuid and lease_until > now()", holder.String()); n != 1 {
		t.Error("the renewed lease was taken over")
	}
	renew(t, store, relay.Renewal{RelayID: holder, Relays: 2})
}

func TestReleasedLanesAreToldUntilTheirHoldIsDeleted(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			exec(t, pool, `insert into outbox.blocked (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason, released_at)
			values (7, gen_random_uuid(), 3, 'd', 't', 'released', '', now()), (8, gen_random_uuid(), 3, 'd', 't', 'held', '', null)`)
			id := join(t, store)
			at := query[time.Time](t, pool, "select released_at from outbox.blocked where released_at is not null")
			want := relay.ReleasedLane{Lane: outbox.Lane{Destination: "d", AggregateType: "t", AggregateID: "released"}, Shard: 3, FirstID: 7}
			var told relay.ReleasedLane
			for range 2 {
				got := renew(t, store, relay.Renewal{RelayID: id})
				if len(got.Released) != 1 || !got.Released[0].ReleasedAt.Equal(at) {
					t.Fatalf("released = %+v at %v, want %+v", got.Released, at, want)
				}
				told = got.Released[0]
				want.ReleasedAt = told.ReleasedAt
				if told != want {
					t.Errorf("released = %+v, want %+v", told, want)
				}
			}
			held := relay.ReleasedLane{Lane: outbox.Lane{Destination: "d", AggregateType: "t", AggregateID: "held"}, ReleasedAt: told.ReleasedAt}
			// Released anew, it is not the release that was resumed.
			exec(t, pool, "update outbox.blocked set released_at = released_at + interval '1 microsecond' where released_at is not null")
			again := renew(t, store, relay.Renewal{RelayID: id, Unblock: []relay.ReleasedLane{told, held}})
			if len(again.Released) != 1 || again.Released[0].Lane != told.Lane || again.Released[0].ReleasedAt.Equal(told.ReleasedAt) {
				t.Fatalf("released anew = %+v", again.Released)
			}
			got := renew(t, store, relay.Renewal{RelayID: id, Unblock: []relay.ReleasedLane{again.Released[0], held}})
			if len(got.Released) != 0 {
				t.Errorf("still released: %+v", got.Released)
			}
			if left := query[string](t, pool, "select string_agg(aggregate_id, ',') from outbox.blocked"); left != "held" {
				t.Errorf("holds left = %q, want the one that nobody released", left)
			}
		})
	}
}

// Five relays join, renew, stall, lapse and leave at random and at once.
func TestShardsUnderRandomRelays(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(6))
	const relays, steps = 5, 60
	epochs := struct {
		sync.Mutex
		owner map[[2]int64]uuid.UUID // a shard and its epoch
	}{owner: make(map[[2]int64]uuid.UUID)}
	note := func(id uuid.UUID, lease relay.Lease) {
		epochs.Lock()
		defer epochs.Unlock()
		for _, s := range lease.Shards {
			key := [2]int64{int64(s.Shard), s.Epoch}
			if other, ok := epochs.owner[key]; ok && other != id {
				t.Errorf("shard %d in epoch %d was given to %s and to %s", s.Shard, s.Epoch, other, id)
			}
			epochs.owner[key] = id
		}
	}
	exec(t, pool, "select setval('outbox.events_id_seq', 1000)")
	era := eraOf(t, pgstore.New(pool))
	var group sync.WaitGroup
	for n := range relays {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // a seed that can be repeated
			store := pgstore.New(pool)
			var id uuid.UUID
			var lease relay.Lease
			for range steps {
				if id == uuid.Nil {
					id, lease = uuid.New(), relay.Lease{}
					if _, err := store.Join(t.Context(), relay.Join{RelayID: id, TTL: ttl, RunFor: time.Hour, Relays: 100}); err != nil {
						t.Errorf("join: %v", err)
						return
					}
				}
				switch random.IntN(10) {
				case 0:
					if err := store.Leave(t.Context(), id, era, relay.Position{Low: 1}); err != nil {
						t.Errorf("leave: %v", err)
					}
					id = uuid.Nil
				case 1: // it dies
					if _, err := pool.Exec(t.Context(), "update outbox.relays set lease_until = now() - interval '1 s' where relay_id = $1::uuid", id.String()); err != nil {
						t.Errorf("lapse: %v", err)
					}
					id = uuid.Nil
				case 2: // it freezes, and may wake as a zombie
					if _, err := pool.Exec(t.Context(), "update outbox.relays set lease_until = now() - interval '1 s' where relay_id = $1::uuid", id.String()); err != nil {
						t.Errorf("lapse: %v", err)
					}
				case 3:
					if _, err := store.Settle(t.Context(), id, identified(t, pool, accept(1, 2, 3))); err != nil {
						t.Errorf("settle: %v", err)
					}
				default:
					r := relay.Renewal{RelayID: id, Era: era, TTL: ttl, Relays: 3, Position: relay.Position{Low: 1}}
					for i := lease.Target; i < len(lease.Shards); i++ {
						r.GiveBack = append(r.GiveBack, lease.Shards[i].Shard)
					}
					var err error
					lease, err = store.Renew(t.Context(), r)
					if errors.Is(err, relay.ErrLeaseLost) {
						id = uuid.Nil
						continue
					}
					if err != nil {
						t.Errorf("renew: %v", err)
						return
					}
					note(id, lease)
				}
			}
			if id != uuid.Nil {
				if err := store.Leave(t.Context(), id, era, relay.Position{Low: 1}); err != nil {
					t.Errorf("leave: %v", err)
				}
			}
		})
	}
	group.Wait()
	if len(epochs.owner) <= outbox.Shards {
		t.Fatalf("shards changed hands %d times: the test tried nothing", len(epochs.owner))
	}
	// Whatever happened, the next relay gets everything.
	last := pgstore.New(pool)
	lease := renew(t, last, relay.Renewal{RelayID: join(t, last)})
	note(uuid.New(), relay.Lease{})
	if len(lease.Shards) != outbox.Shards {
		t.Errorf("the last relay has %d shards, want all", len(lease.Shards))
	}
	for _, s := range lease.Shards {
		for key := range epochs.owner {
			if key[0] == int64(s.Shard) && key[1] >= s.Epoch {
				t.Errorf("shard %d has epoch %d now and had %d before", s.Shard, s.Epoch, key[1])
			}
		}
	}
}
