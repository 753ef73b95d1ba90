package failpoint

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// seen is how long after a call returned its answer has surely changed the state of the relay.
const seen = time.Millisecond

// Store returns inner with h called at each step of its calls, but for Backlog. Make one
// for each run of a relay, since it remembers the shards that the relay owns.
func Store(inner relay.Store, h Hook) relay.Store {
	return &store{Store: inner, hook: h}
}

// store is what Store returns.
type store struct {
	relay.Store
	hook Hook

	mu sync.Mutex
	// owned has the epoch of each shard that the newest answer to a renewal named, by shard; nil before the first.
	owned map[int]int64
}

func (s *store) Join(ctx context.Context, j relay.Join) (bool, error) {
	return around(ctx, s.hook, BeforeJoin, Joined, func() (bool, error) { return s.Store.Join(ctx, j) })
}

func (s *store) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	before, after := BeforeRenew, Renewed
	if len(r.GiveBack) > 0 {
		before, after = BeforeHandOver, HandedOver
	}
	got, err := around(ctx, s.hook, before, after, func() (relay.Lease, error) { return s.Store.Renew(ctx, r) })
	if err != nil || !s.gained(got.Shards) {
		return got, err
	}
	return got, s.hook.At(ctx, LeaseTaken)
}

// gained reports whether now, the answer to a renewal, names a shard that the answer before did not name under this
// epoch, and keeps now in owned.
func (s *store) gained(now []relay.ShardLease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	owned := make(map[int]int64, len(now))
	more := false
	for _, l := range now {
		owned[l.Shard] = l.Epoch
		before, known := s.owned[l.Shard]
		more = more || !known || before != l.Epoch
	}
	s.owned = owned
	return more
}

func (s *store) Leave(ctx context.Context, relayID uuid.UUID, era int64, p relay.Position) error {
	_, err := around(ctx, s.hook, BeforeLeave, Left, func() (struct{}, error) { return struct{}{}, s.Store.Leave(ctx, relayID, era, p) })
	return err
}

func (s *store) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	if err := s.hook.At(ctx, BeforeFetch); err != nil {
		return relay.Fetched{}, err
	}
	got, err := s.Store.Fetch(ctx, f)
	if err != nil || !hasRecords(&got) {
		return got, err
	}
	return got, s.hook.At(ctx, Fetched)
}

func hasRecords(f *relay.Fetched) bool {
	rows := slices.Concat(f.Scans...)
	pages := slices.Concat(f.Destinations, f.Lanes, []relay.Backfilled{f.Sweep})
	return len(f.Gaps.Records) > 0 ||
		slices.ContainsFunc(rows, func(r relay.Row) bool { return r.Record != nil }) ||
		slices.ContainsFunc(pages, func(p relay.Backfilled) bool { return len(p.Records) > 0 })
}

func (s *store) Settle(ctx context.Context, relayID uuid.UUID, m relay.Settlement) (relay.Settled, error) {
	got, err := around(ctx, s.hook, BeforeSettle, Settled, func() (relay.Settled, error) { return s.Store.Settle(ctx, relayID, m) })
	if err == nil && !got.Fenced {
		soon(ctx, s.hook, Marked)
	}
	return got, err
}

// around calls h at the step before, then call, then h at the step after, and returns the result of call. An error
// ends it at once, and is returned: one of h with the zero T, as call was not made or its result is lost, and one of call
// with what call returned.
func around[T any](ctx context.Context, h Hook, before, after Step, call func() (T, error)) (T, error) {
	var none T
	if err := h.At(ctx, before); err != nil {
		return none, err
	}
	got, err := call()
	if err != nil {
		return got, err
	}
	if err := h.At(ctx, after); err != nil {
		return none, err
	}
	return got, nil
}

// soon returns at once, and calls h at step s a millisecond from now, when the relay has surely used the answer. It
// ignores h's error and the end of ctx.
func soon(ctx context.Context, h Hook, s Step) {
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(seen, func() { _ = h.At(ctx, s) })
}
