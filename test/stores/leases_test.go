package stores_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func leaseTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a newcomer waits until others end":                  newcomerWaits,
		"asking to join again answers the same":              joinAgain,
		"the only relay owns all":                            onlyRelay,
		"shards are shared and change hands with a position": sharing,
		"the youngest take over":                             youngest,
		"a lapsed lease that was not taken over is renewed":  lapsedAndRenewed,
		"a lapsed lease is taken over":                       takenOver,
		"a relay that leaves gives all back, once":           leaving,
		"a position of nothing keeps the last one":           noPosition,
		"a position counts for shards that an answer named":  positionOfNamed,
	}
}

func newcomerWaits(t *testing.T, w *world) {
	t.Helper()
	ending, long, other := uuid.New(), uuid.New(), uuid.New()
	ask := func(id uuid.UUID, runFor time.Duration) bool {
		return w.ask(t, relay.Join{RelayID: id, RunFor: runFor, JoinWindow: time.Minute, Relays: 1})
	}
	if !ask(ending, 30*time.Second) || !ask(long, time.Hour) {
		t.Error("refused although no other is there to stay")
	}
	if ask(other, time.Hour) {
		t.Error("admitted although another is there to stay")
	}
	w.lost(t, other)
	w.renew(t, relay.Renewal{RelayID: long, Leaving: true})
	if !ask(other, time.Hour) {
		t.Error("refused although the other is leaving")
	}
}

func joinAgain(t *testing.T, w *world) {
	t.Helper()
	id := uuid.New()
	j := relay.Join{RelayID: id, RunFor: time.Hour, Relays: 1}
	if !w.ask(t, j) {
		t.Fatal("not admitted")
	}
	w.renew(t, relay.Renewal{RelayID: id})
	if !w.ask(t, j) {
		t.Error("refused because of itself")
	}
	if lease := w.renew(t, relay.Renewal{RelayID: id}); len(lease.Shards) != outbox.Shards || lease.Shards[0].Epoch != 1 {
		t.Errorf("lease after joining again: %+v", lease)
	}
}

func onlyRelay(t *testing.T, w *world) {
	t.Helper()
	id := w.join(t, ttl)
	for range 2 {
		lease := w.renew(t, relay.Renewal{RelayID: id})
		if !slices.Equal(shardsOf(lease), shards(0, outbox.Shards)) || lease.Target != outbox.Shards || lease.Now.IsZero() {
			t.Fatalf("lease = %+v", lease)
		}
		for _, s := range lease.Shards {
			if s.Epoch != 1 || s.Resume.Low != 0 || len(s.Resume.Gaps) != 0 {
				t.Errorf("shard = %+v, want epoch 1 and to begin at 0", s)
			}
		}
	}
}

func sharing(t *testing.T, w *world) {
	t.Helper()
	w.restart(t, 1001)
	first := w.owner(t)
	at := relay.Position{
		Low: 100, Gaps: []relay.Range{{From: 7, To: 7}, {From: 20, To: 30}}, Lows: map[string]int64{"a": 100, "b, \"quoted\"": 12},
	}
	w.renew(t, relay.Renewal{RelayID: first, Position: at})
	second := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: second, Relays: 2}); len(got.Shards) != 0 || got.Target != 32 {
		t.Fatalf("second lease = %+v, want no shard yet and a target of 32", got)
	}
	if got := w.renew(t, relay.Renewal{RelayID: first, Relays: 2, Position: at, GiveBack: shards(0, 32)}); !slices.Equal(shardsOf(got), shards(32, 64)) || got.Target != 32 {
		t.Fatalf("after giving back the first has %v, target %d", shardsOf(got), got.Target)
	}
	got := w.renew(t, relay.Renewal{RelayID: second, Relays: 2})
	if !slices.Equal(shardsOf(got), shards(0, 32)) {
		t.Fatalf("the second has %v", shardsOf(got))
	}
	for _, s := range got.Shards {
		if s.Epoch != 2 || !reflect.DeepEqual(s.Resume, at) {
			t.Errorf("shard handed over = %+v, want epoch 2 and to resume at %+v", s, at)
		}
	}
	for _, s := range w.renew(t, relay.Renewal{RelayID: second, Relays: 2}).Shards {
		if s.Epoch != 2 || !reflect.DeepEqual(s.Resume, relay.Position{}) {
			t.Errorf("shard named again = %+v, want no position", s)
		}
	}
	// A shard that is not owned cannot be given back.
	if got := w.renew(t, relay.Renewal{RelayID: first, Relays: 2, Position: at, GiveBack: shards(0, 32)}); len(got.Shards) != 32 {
		t.Errorf("after giving back shards that it does not own the first has %d shards", len(got.Shards))
	}
	if got := w.renew(t, relay.Renewal{RelayID: second, Relays: 2}); len(got.Shards) != 32 || got.Shards[0].Epoch != 2 {
		t.Errorf("the second lost shards that another gave back: %+v", got)
	}
}

func youngest(t *testing.T, w *world) {
	t.Helper()
	old := w.owner(t)
	pass(5 * time.Millisecond)
	young := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: young}); got.Target != outbox.Shards || len(got.Shards) != 0 {
		t.Errorf("the young has target %d and %d shards", got.Target, len(got.Shards))
	}
	if got := w.renew(t, relay.Renewal{RelayID: old}); got.Target != 0 || len(got.Shards) != outbox.Shards {
		t.Errorf("the old has target %d and %d shards, want 0 and all until it gives them back", got.Target, len(got.Shards))
	}
	if got := w.renew(t, relay.Renewal{RelayID: young, Leaving: true}); got.Target != 0 {
		t.Errorf("one that leaves has target %d", got.Target)
	}
	if got := w.renew(t, relay.Renewal{RelayID: old}); got.Target != outbox.Shards {
		t.Errorf("beside one that leaves the target is %d", got.Target)
	}
}

func lapsedAndRenewed(t *testing.T, w *world) {
	t.Helper()
	id := w.join(t, 50*time.Millisecond)
	w.renew(t, relay.Renewal{RelayID: id, TTL: 50 * time.Millisecond})
	pass(100 * time.Millisecond)
	if got := w.renew(t, relay.Renewal{RelayID: id}); len(got.Shards) != outbox.Shards || got.Shards[0].Epoch != 1 {
		t.Errorf("lease = %+v, want the one it had", got)
	}
}

func takenOver(t *testing.T, w *world) {
	t.Helper()
	w.restart(t, 1001)
	first := w.join(t, 50*time.Millisecond)
	w.renew(t, relay.Renewal{RelayID: first, TTL: 50 * time.Millisecond})
	at := relay.Position{Low: 30}
	w.renew(t, relay.Renewal{RelayID: first, TTL: 50 * time.Millisecond, Position: at})
	row := w.write(t, "a")
	pass(100 * time.Millisecond)
	second := w.join(t, ttl)
	got := w.renew(t, relay.Renewal{RelayID: second})
	if len(got.Shards) != outbox.Shards || got.Shards[9].Epoch != 2 || got.Shards[9].Resume.Low != 30 {
		t.Errorf("lease taken over = %+v", got)
	}
	w.lost(t, first)
	if got := w.settle(t, first, accept(row)); !got.Fenced || got.Accepted != 0 {
		t.Errorf("settling after the takeover = %+v, want it fenced", got)
	}
	if got := w.settle(t, second, accept(row)); got.Fenced || got.Accepted != 1 {
		t.Errorf("settling by the new owner = %+v", got)
	}
}

func leaving(t *testing.T, w *world) {
	t.Helper()
	w.restart(t, 1001)
	first := w.owner(t)
	w.leave(t, first, relay.Position{Low: 70})
	w.leave(t, first, relay.Position{Low: 999})
	w.leave(t, uuid.New(), relay.Position{Low: 999})
	w.lost(t, first)
	second := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: second}); len(got.Shards) != outbox.Shards || got.Shards[0].Resume.Low != 70 || got.Shards[0].Epoch != 2 {
		t.Errorf("lease after the other left = %+v", got)
	}
}

func noPosition(t *testing.T, w *world) {
	t.Helper()
	w.restart(t, 1001)
	first := w.owner(t)
	at := relay.Position{Low: 40, Gaps: []relay.Range{{From: 3, To: 4}}, Lows: map[string]int64{"a": 30}}
	w.renew(t, relay.Renewal{RelayID: first, Position: at})
	w.renew(t, relay.Renewal{RelayID: first})
	w.leave(t, first, relay.Position{})
	second := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: second}); !reflect.DeepEqual(got.Shards[1].Resume, at) {
		t.Errorf("resume = %+v, want %+v", got.Shards[1].Resume, at)
	}
}

func positionOfNamed(t *testing.T, w *world) {
	t.Helper()
	w.restart(t, 1001)
	first := w.owner(t)
	w.renew(t, relay.Renewal{RelayID: first, Position: relay.Position{Low: 10}})
	w.leave(t, first, relay.Position{Low: 10})
	// The position comes with the renewal that gains the shards: it knows nothing
	// of them yet.
	second := w.join(t, ttl)
	w.renew(t, relay.Renewal{RelayID: second, Position: relay.Position{Low: 500}})
	w.leave(t, second, relay.Position{})
	third := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: third}); got.Shards[0].Resume.Low != 10 {
		t.Errorf("resume = %+v, want that of the one that knew the shard", got.Shards[0].Resume)
	}
}
