package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"time"

	mill "github.com/ThreeDotsLabs/watermill"
	millsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// millTopic is Watermill's topic in the database, to which all messages are written and from which they are
// forwarded.
const millTopic = "outbox"

// millGroup is the key in a message's metadata that has its group id.
const millGroup = "group"

// watermill returns Watermill with its SQL publisher, subscriber and forwarder.
func watermill() peer {
	const batch = 1000
	schema := millsql.DefaultPostgreSQLSchema{SubscribeBatchSize: batch}
	log := mill.NewSlogLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	subscriber := func(pool *pgxpool.Pool) (*millsql.Subscriber, error) {
		return millsql.NewSubscriber(millsql.BeginnerFromPgx(pool), millsql.SubscriberConfig{
			SchemaAdapter: schema, OffsetsAdapter: millsql.DefaultPostgreSQLOffsetsAdapter{},
			PollInterval: 5 * time.Millisecond, ResendInterval: time.Millisecond,
		}, log)
	}
	return peer{
		Peer: load.Peer{
			Name: "watermill", Module: "github.com/ThreeDotsLabs/watermill-sql/v4", Ordered: true,
			Settings: fmt.Sprintf("default schema with SubscribeBatchSize %d, Forwarder, PollInterval 5 ms when there is nothing, ResendInterval 1 ms", batch),
			Unsent: `select count(*) from watermill_outbox m
				where not exists (select from watermill_offsets_outbox o
				                  where m.transaction_id < o.last_processed_transaction_id
				                     or m.transaction_id = o.last_processed_transaction_id and m."offset" <= o.offset_acked)`,
		},
		schema: func(_ context.Context, pool *pgxpool.Pool) error {
			s, err := subscriber(pool)
			if err != nil {
				return err
			}
			return s.SubscribeInitialize(millTopic)
		},
		write: func(ctx context.Context, tx pgx.Tx, events iter.Seq[outbox.Event]) error {
			rows, err := millsql.NewPublisher(millsql.TxFromPgx(tx), millsql.PublisherConfig{SchemaAdapter: schema}, log)
			if err != nil {
				return err
			}
			out := forwarder.NewPublisher(rows, forwarder.PublisherConfig{ForwarderTopic: millTopic})
			var messages []*message.Message
			flush := func() error {
				defer func() { messages = messages[:0] }()
				return out.Publish("bench", messages...)
			}
			for e := range events {
				m := message.NewMessageWithContext(ctx, e.EventID.String(), message.Payload(e.Payload))
				m.Metadata.Set(millGroup, outbox.GroupID(e.AggregateType, e.AggregateID))
				if messages = append(messages, m); len(messages) == batch {
					if err = flush(); err != nil {
						return err
					}
				}
			}
			if len(messages) == 0 {
				return nil
			}
			return flush()
		},
		run: func(ctx context.Context, pool *pgxpool.Pool, out *sender, running func()) error {
			in, err := subscriber(pool)
			if err != nil {
				return err
			}
			f, err := forwarder.NewForwarder(in, millPublisher{out}, log, forwarder.Config{ForwarderTopic: millTopic})
			if err != nil {
				return err
			}
			go func() {
				<-f.Running()
				running()
			}()
			return f.Run(ctx)
		},
	}
}

// millPublisher publishes messages one by one to the queue or topic of the sender, as the publishers of
// watermill-aws do, whatever the topic that it is called with.
type millPublisher struct{ out *sender }

func (p millPublisher) Publish(_ string, messages ...*message.Message) error {
	for _, m := range messages {
		if err := p.out.send(m.Context(), m.UUID, m.Metadata.Get(millGroup), string(m.Payload)); err != nil {
			return err
		}
	}
	return nil
}

func (millPublisher) Close() error { return nil }
