// Package limit is a relay without features: the fetch and the settlement of package pgstore, and an HTTP client by
// hand. It keeps order within an aggregate and nothing else: no adapting, no retries, no gaps, no hand-over, no
// metrics. What it does in a second is the limit that the relay is compared with. It is for backlogs: rows that
// commit late, as a live load has them, are lost.
package limit

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Config describes the relay without features. All fields are required.
type Config struct {
	// URL is the address of the database, Queue the URL of the queue.
	URL   string `json:"url"`
	Queue string `json:"queue"`
	// Lanes is the number of connections to the broker; each carries the events of its share of the aggregates.
	// The benchmark has 128.
	Lanes int `json:"lanes"`
}

const (
	fetchLimit  = 2000                  // rows that one fetch reads at most
	window      = 20_000                // events in memory that are not accepted yet
	settleLimit = 2000                  // accepted events that are marked at once, without a wait for settleEvery
	settlers    = 2                     // goroutines that mark events
	gcPercent   = 400                   // as the function's
	settleEvery = 20 * time.Millisecond // longest time from an acceptance to its mark, besides that of the statement
	idle        = 4 * time.Millisecond  // pause after a fetch that read fewer rows than fetchLimit
	leaseTTL    = time.Minute           // length of the lease on all shards
)

// Run carries events from the outbox to the queue until ctx ends, which is no error. Any other error ends it:
// nothing is tried again.
func Run(ctx context.Context, cfg Config) error {
	debug.SetGCPercent(gcPercent)
	pool, err := pgxpool.New(ctx, cfg.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	r := &runner{store: pgstore.New(pool), id: uuid.New(), accepted: make(chan []relay.Accepted, window), room: make(chan struct{}, window)}
	if _, err = r.store.Join(ctx, relay.Join{RelayID: r.id, Name: "limit", TTL: leaseTTL, RunFor: time.Hour, Relays: 1}); err != nil {
		return err
	}
	outer := ctx
	all, ctx := errgroup.WithContext(ctx)
	for range cfg.Lanes {
		lane := make(chan *outbox.Record, window)
		r.lanes = append(r.lanes, lane)
		all.Go(func() error { return r.send(ctx, cfg.Queue, lane) })
	}
	all.Go(func() error { return r.read(ctx) })
	for range settlers {
		all.Go(func() error { return r.settle(ctx) })
	}
	all.Go(func() error { return r.renew(ctx) })
	if err = all.Wait(); outer.Err() != nil {
		return nil
	}
	return err
}

// runner is the state of one run: its relay id, a channel of read events for each connection, a channel of accepted
// events to settle, and room, which has an element for each event that was read and not accepted yet.
type runner struct {
	store    *pgstore.Store
	id       uuid.UUID
	lanes    []chan *outbox.Record
	accepted chan []relay.Accepted
	room     chan struct{}
}

// read reads new events and gives each to the connection of its aggregate, until ctx ends. It waits while room is
// full.
func (r *runner) read(ctx context.Context) error {
	shards := make([]int, outbox.Shards)
	for i := range shards {
		shards[i] = i
	}
	seed := maphash.MakeSeed()
	pause := time.NewTimer(0)
	var head int64
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
		got, err := r.store.Fetch(ctx, relay.Fetch{Scans: []relay.Scan{{After: head, Limit: fetchLimit}}, Shards: shards})
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		rows := got.Scans[0]
		for i := range rows {
			head = rows[i].ID
			rec := rows[i].Record
			if rec == nil {
				continue
			}
			select {
			case r.room <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			r.lanes[maphash.String(seed, rec.AggregateID)%uint64(len(r.lanes))] <- rec
		}
		wait := idle
		if len(rows) == fetchLimit {
			wait = 0
		}
		pause.Reset(wait)
	}
}

// send sends the events of lane to the queue, in batches of up to ten, and gives those that the broker accepted to
// r.accepted, until ctx ends.
func (r *runner) send(ctx context.Context, queue string, lane <-chan *outbox.Record) error {
	c, err := dial(ctx, queue)
	if err != nil {
		return err
	}
	defer c.close()
	msgs := make([]outbox.Message, 0, 10)
	for {
		msgs = msgs[:0]
		ids := make([]relay.Accepted, 0, 10)
		for len(msgs) < cap(msgs) {
			var rec *outbox.Record
			if len(msgs) == 0 {
				select {
				case rec = <-lane:
				case <-ctx.Done():
					return nil
				}
			} else {
				select {
				case rec = <-lane:
				default:
				}
			}
			if rec == nil {
				break
			}
			m, err := outbox.Encode(rec)
			if err != nil {
				return err
			}
			msgs, ids = append(msgs, m), append(ids, relay.Accepted{ID: rec.ID, EventID: rec.EventID})
		}
		if err := c.send(msgs, ids); err != nil {
			return err
		}
		for range msgs {
			<-r.room
		}
		select {
		case r.accepted <- ids:
		case <-ctx.Done():
			return nil
		}
	}
}

// settle marks accepted events as sent, until ctx ends: as soon as there are settleLimit, else every settleEvery.
func (r *runner) settle(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var done []relay.Accepted
	for {
		due := false
		select {
		case ids := <-r.accepted:
			done = append(done, ids...)
		case <-tick.C:
			due = true
		case <-ctx.Done():
			return nil
		}
		if len(done) < settleLimit && (!due || len(done) == 0) {
			continue
		}
		// Rows that lie together are marked together.
		slices.SortFunc(done, func(a, b relay.Accepted) int { return cmp.Compare(a.ID, b.ID) })
		if _, err := r.store.Settle(ctx, r.id, relay.Settlement{Accepted: done}); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		done = done[:0]
	}
}

// renew renews the lease, four times in its length, until ctx ends.
func (r *runner) renew(ctx context.Context) error {
	tick := time.NewTicker(leaseTTL / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if _, err := r.store.Renew(ctx, relay.Renewal{RelayID: r.id, TTL: leaseTTL, Relays: 1}); err != nil {
			return fmt.Errorf("renew: %w", err)
		}
	}
}
