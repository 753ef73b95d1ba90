// Package outbox enqueues events: a service writes its business rows and its events in one PostgreSQL transaction,
// and a relay (package relay, or the Lambda function made of it) carries every committed event to an SNS FIFO topic
// or an SQS FIFO queue. The package also has what those who write a consumer or a sink need: [Message], [Encode] and
// [Sink].
//
//	tx, err := pool.Begin(ctx)
//	if err != nil {
//		return err
//	}
//	defer tx.Rollback(ctx)
//	if _, err := tx.Exec(ctx, "insert into orders (id, total) values ($1, $2)", id, total); err != nil {
//		return err
//	}
//	if _, err := outbox.Enqueue(ctx, tx, outbox.Event{AggregateType: "order", AggregateID: id, Type: "order.placed", Payload: payload}); err != nil {
//		return err
//	}
//	return tx.Commit(ctx)
//
// With database/sql, wrap the transaction: outbox.Enqueue(ctx, outbox.SQL(tx), ...). A pool or a connection instead
// of a transaction does not compile. For bulk there is [EnqueueCopy]; writers in other languages call the SQL
// function outbox.enqueue.
//
// # What is guaranteed
//
//   - An event is published if and only if its transaction commits. It is never dropped: at the end it is sent, or it
//     is a dead letter, or it is blocked behind one; the last two with a reason.
//   - Events of one aggregate reach a destination in the order of their ids. That is the order of commit when the
//     transactions that write them wait for each other, by a lock of their own or by [Enqueuer.LockAggregates].
//   - Delivery is at least once. An event is sent again only after a crash or an unknown outcome, with the same
//     deduplication id, which the broker drops within five minutes (SQS SendMessage reference). After that only the
//     consumer can: by the attribute event_id, or by sequence, which grows within an aggregate.
//
// # Limits
//
// A payload is one JSON value of at most [MaxPayloadBytes]; its bytes are published as written. An aggregate id has
// at most [MaxAggregateIDLength] characters, aggregate type, event type and destination [MaxNameLength], and the
// headers, as JSON, [MaxHeaderBytes]. Characters that SQS refuses are refused at once: see [Event.Validate]. Writers in
// SQL meet the same limits as constraints of the table. SNS topics take 262,144 bytes unless they are configured for
// more; an event above its destination's limit becomes a dead letter.
//
// # Messages
//
// [Encode] makes the message: the payload as the body, the aggregate as the group ([GroupID]), the event id and the
// number of replays as the deduplication id, and at most [MaxAttributes] attributes.
package outbox
