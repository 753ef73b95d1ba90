// Package limit is a relay without features: the fetch and the mark of
// package pgstore, and an HTTP client by hand. It keeps order within an
// aggregate and nothing else: no adapting, no retries, no gaps, no hand-over, no
// metrics. What it does in a second is the limit that the relay is compared with.
// It is for backlogs: rows that commit late, as a live load has them, are lost.
package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

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
	fetchLimit  = 2000
	window      = 20_000
	settleLimit = 2000
	settlers    = 2
	gcPercent   = 400 // as the function's
	settleEvery = 20 * time.Millisecond
	idle        = 4 * time.Millisecond
	leaseTTL    = time.Minute
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
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	start := func(f func(context.Context) error) {
		all.Go(func() { stop(f(ctx)) })
	}
	for range cfg.Lanes {
		lane := make(chan *outbox.Record, window)
		r.lanes = append(r.lanes, lane)
		start(func(ctx context.Context) error { return r.send(ctx, cfg.Queue, lane) })
	}
	start(r.read)
	for range settlers {
		start(r.settle)
	}
	start(r.renew)
	all.Wait()
	if err = context.Cause(ctx); errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

type runner struct {
	store    *pgstore.Store
	id       uuid.UUID
	lanes    []chan *outbox.Record
	accepted chan []relay.Accepted
	room     chan struct{}
}

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
			msgs, ids = append(msgs, m), append(ids, relay.Accepted{ID: rec.ID})
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
