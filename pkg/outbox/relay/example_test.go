package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// printer is a destination that prints what it is sent. One of package sqssink
// or snssink takes its place.
type printer struct{ sent func() }

func (printer) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: 1 << 20, BatchBytes: 1 << 20}
}

func (p printer) Publish(_ context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	for i, m := range msgs {
		fmt.Println(m.GroupID, m.Body)
		results[i] = outbox.Result{Class: outbox.Accepted, MessageID: m.DeduplicationID, SequenceNumber: "1"}
		p.sent()
	}
	return results
}

// A relay in the process of a service, in place of the Lambda function. It runs
// until its context ends, settles what it has sent, and gives its shards back.
func Example() {
	t, end := testingtb.New()
	defer end()
	db := outboxtest.DB(t) // pgstore.Connect makes the pool of a service

	// In a service, ctx ends with the process: see signal.NotifyContext.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := relay.New(pgstore.New(db), relay.Config{
		Destinations: map[string]relay.Destination{"default": {Sink: printer{sent: stop}}},
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, txErr := outbox.Enqueue(ctx, tx, outbox.Event{
			AggregateType: "order", AggregateID: "42", Type: "order.placed", Payload: json.RawMessage(`{"total": 12}`),
		})
		return txErr
	})
	if err != nil {
		panic(err)
	}

	summary, err := r.Run(ctx, time.Now().Add(time.Hour))
	if err != nil {
		panic(err)
	}
	fmt.Println(summary.Outcome, summary.Settled)
	// Output:
	// order:42 {"total": 12}
	// canceled 1
}

// Every fault of a configuration is named at once.
func ExampleNew() {
	_, err := relay.New(nil, relay.Config{Relays: 100, LeaseTTL: time.Hour})
	fmt.Println(err)
	// Output:
	// relay config: Destinations: none is named: name at least one
	// Relays: must be 1 to 64, is 100
	// LeaseTTL: must be at most 1m, to stay far below the broker's deduplication window, is 1h0m0s
}
