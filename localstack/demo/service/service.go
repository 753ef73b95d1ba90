// Package service is a small service that keeps a read model of repositories and work items, and writes an event of each
// change to the outbox, in the same transaction. It is an example of what users of the library write.
package service

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed schema.sql
var schemaSQL string

//go:embed touch_repository.sql
var touchRepositorySQL string

//go:embed touch_work_item.sql
var touchWorkItemSQL string

//go:embed count_deliveries.sql
var countDeliveriesSQL string

// Audit is the destination of events about a repository or account as a whole. Events about a work item go to the
// default destination.
const Audit = "audit"

// Service keeps the read model and writes the events, in one database. It is safe for concurrent use.
type Service struct {
	pool *pgxpool.Pool
}

// New returns a service on the pool's database, which must have an outbox. The caller closes the pool.
func New(pool *pgxpool.Pool) *Service { return &Service{pool: pool} }

// Migrate makes the tables of the read model that are missing. It makes no outbox.
func (s *Service) Migrate(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, schemaSQL); err != nil {
		return fmt.Errorf("migrate the read model: %w", err)
	}
	return nil
}

// Manner is how a transaction of [Service.Apply] makes its two writes, read model and events: in which order, and
// whether it locks the aggregates.
type Manner int

const (
	// ModelFirst updates the read model and then enqueues. Other transactions that update rows of the same aggregate
	// first wait for the lock on them.
	ModelFirst Manner = iota
	// Locked enqueues with a lock on the aggregates, and then updates the read model.
	Locked
	// EventsFirst enqueues, without a lock, and then updates the read model. So the order of ids can differ from that
	// of the commits.
	EventsFirst
)

// Apply writes the deliveries into tx, in the given manner: it updates the read model and enqueues an event of
// each delivery. It returns the events with their event ids, sorted by repository and item. Transactions that
// run at the same time do not deadlock, since each updates its rows in that order.
func (s *Service) Apply(ctx context.Context, tx pgx.Tx, manner Manner, deliveries []source.Delivery) ([]outbox.Event, error) {
	sorted := slices.SortedStableFunc(slices.Values(deliveries), func(a, b source.Delivery) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Item, b.Item))
	})
	events := make([]outbox.Event, len(sorted))
	for i := range sorted {
		event, err := eventOf(&sorted[i])
		if err != nil {
			return nil, err
		}
		events[i] = event
	}
	if manner == ModelFirst {
		if err := touch(ctx, tx, sorted); err != nil {
			return nil, err
		}
	}
	if _, err := (outbox.Enqueuer{LockAggregates: manner == Locked}).Enqueue(ctx, tx, events...); err != nil {
		return nil, err
	}
	if manner != ModelFirst {
		if err := touch(ctx, tx, sorted); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func eventOf(d *source.Delivery) (outbox.Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return outbox.Event{}, fmt.Errorf("new event id: %w", err)
	}
	destination := outbox.DefaultDestination
	if d.Kind == "" {
		destination = Audit
	}
	return outbox.Event{
		EventID:       id,
		AggregateType: d.AggregateType(),
		AggregateID:   d.AggregateID(),
		Type:          d.Type(),
		Destination:   destination,
		Payload:       d.Body,
		Headers:       map[string]string{"provider": d.Provider},
	}, nil
}

// touch counts the deliveries in the rows of their repositories and work items in the read model, in one round
// trip. It makes rows that are not there.
func touch(ctx context.Context, tx pgx.Tx, deliveries []source.Delivery) error {
	var batch pgx.Batch
	for i := range deliveries {
		d := &deliveries[i]
		batch.Queue(touchRepositorySQL, d.Provider, d.Scope, d.Type())
		if d.Kind != "" {
			batch.Queue(touchWorkItemSQL, d.Provider, d.Scope, d.Kind, d.Item, d.Title, d.Type())
		}
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("update the read model: %w", err)
	}
	return nil
}

// Deliveries returns how many deliveries the read model has counted: all, and those about work items.
func (s *Service) Deliveries(ctx context.Context) (all, items int64, err error) {
	if err := s.pool.QueryRow(ctx, countDeliveriesSQL).Scan(&all, &items); err != nil {
		return 0, 0, fmt.Errorf("count deliveries: %w", err)
	}
	return all, items, nil
}
