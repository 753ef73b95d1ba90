package stores_test

import (
	"reflect"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func eraTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a position of another era is not stored":             otherEra,
		"a position above the ids given begins an era":        positionAboveIDs,
		"a stored position above the ids given begins an era": storedPositionAboveIDs,
		"a relay that finds ids again begins an era":          recurred,
		"an id that was not given is read by a sweep alone":   explicitID,
	}
}

// atPosition writes n events and returns a relay that owns every shard, at the position of the n-th.
func (w *world) atPosition(t *testing.T, n int) (lease relay.Lease, owner func(relay.Renewal) relay.Lease) {
	t.Helper()
	id := w.owner(t)
	last := int64(0)
	for range n {
		last = w.write(t, "a")
	}
	w.last = id
	owner = func(r relay.Renewal) relay.Lease {
		r.RelayID = id
		return w.renew(t, r)
	}
	return owner(relay.Renewal{Position: relay.Position{Low: last}}), owner
}

func otherEra(t *testing.T, w *world) {
	t.Helper()
	lease, renew := w.atPosition(t, 3)
	got := renew(relay.Renewal{Era: lease.Era + 100, Position: relay.Position{Low: 1}})
	if got.Era != lease.Era || got.Begun || len(got.Shards) != outbox.Shards {
		t.Fatalf("lease = %+v, want all shards and era %d", got, lease.Era)
	}
	for i, s := range got.Shards {
		if want := lease.Shards[i].Epoch + 1; s.Epoch != want || s.Resume.Low != 3 {
			t.Fatalf("shard = %+v, want epoch %d and to resume at the position of the era, 3", s, want)
		}
	}
	// The position of a relay that leaves counts as little.
	if err := w.store.Leave(t.Context(), w.last, lease.Era+100, relay.Position{Low: 1}); err != nil {
		t.Fatal(err)
	}
	next := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: next}); got.Shards[0].Resume.Low != 3 {
		t.Errorf("resume = %+v, want 3", got.Shards[0].Resume)
	}
}

func positionAboveIDs(t *testing.T, w *world) {
	t.Helper()
	lease, renew := w.atPosition(t, 3)
	w.restart(t, 2)
	got := renew(relay.Renewal{Position: relay.Position{Low: 3}})
	if got.Era != lease.Era+1 || !got.Begun || got.LastID != 1 {
		t.Errorf("lease = era %d, begun %v, last id %d, want a new era and last id 1", got.Era, got.Begun, got.LastID)
	}
	for _, s := range got.Shards {
		if s.Resume.Low != 0 {
			t.Fatalf("shard = %+v, want to resume at the first unsent row", s)
		}
	}
	if again := renew(relay.Renewal{}); again.Era != got.Era || again.Begun {
		t.Errorf("the next answer: era %d, begun %v, want era %d once", again.Era, again.Begun, got.Era)
	}
}

func storedPositionAboveIDs(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	last := w.write(t, "a")
	lease := w.renew(t, relay.Renewal{RelayID: id, Position: relay.Position{Low: last}})
	w.settle(t, id, accept(last))
	w.leave(t, id, relay.Position{Low: last})
	w.restart(t, last)
	next := w.join(t, ttl)
	w.era = 0
	got := w.renew(t, relay.Renewal{RelayID: next})
	if got.Era != lease.Era+1 || !got.Begun || len(got.Shards) != outbox.Shards || got.Shards[0].Resume.Low != last-1 {
		t.Errorf("lease = era %d, begun %v, resume %+v, want era %d and to resume at %d",
			got.Era, got.Begun, got.Shards[0].Resume, lease.Era+1, last-1)
	}
}

func recurred(t *testing.T, w *world) {
	t.Helper()
	lease, renew := w.atPosition(t, 3)
	got := renew(relay.Renewal{Recurred: true, Position: relay.Position{Low: 3}})
	if got.Era != lease.Era+1 || !got.Begun || got.Shards[0].Resume.Low != 0 {
		t.Errorf("lease = %+v, want a new era and to resume at the first unsent row", got)
	}
	// Said of an era that is over it is nothing new.
	if again := renew(relay.Renewal{Era: lease.Era, Recurred: true}); again.Era != got.Era {
		t.Errorf("era = %d, want %d", again.Era, got.Era)
	}
}

func explicitID(t *testing.T, w *world) {
	t.Helper()
	w.owner(t)
	a := w.write(t, "a")
	const far = 500_000_000
	w.explicit(t, far, event("a"))
	b := w.write(t, "a")
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Sweep: &relay.Sweep{Destinations: []string{"default"}, From: b + 1, Limit: 10}})
	all, _ := rowIDs(got.Scans[0])
	want(t, "scan", all, a, b)
	want(t, "sweep of the ids that were not given", recordIDs(got.Sweep.Records), far)
	if got.LastID != b || got.Era == 0 {
		t.Errorf("era %d and last id %d, want an era and %d", got.Era, got.LastID, b)
	}
	if up := w.fetch(t, relay.Fetch{Sweep: &relay.Sweep{Destinations: []string{"default"}, From: 1, Before: b + 1, Limit: 10}}).Sweep; !reflect.DeepEqual(recordIDs(up.Records), []int64{a, b}) {
		t.Errorf("sweep up to the last id = %v", recordIDs(up.Records))
	}
}
