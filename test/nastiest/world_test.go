package nastiest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

const (
	// patience is how long a test waits for what must happen.
	patience = 4 * time.Minute
	// readAhead is how long a relay may keep an event in memory before the broker
	// accepts it, on a machine with much else to do.
	readAhead = 30 * time.Second
)

// world is a database, a broker and the record of what happened in them.
type world struct {
	t            *testing.T
	pool         *pgxpool.Pool
	fake         *awsfake.Server
	rec          *history.Recorder
	destinations map[string]relay.Destination

	mu    sync.Mutex
	names map[string]string // the destination by the name of its queue or topic
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, pool: outboxtest.DB(t, outboxtest.MaxConns(20)), rec: history.New(),
		destinations: map[string]relay.Destination{}, names: map[string]string{},
	}
	w.fake = awsfake.New(awsfake.Config{Discard: true, OnAccepted: w.accepted})
	if err := w.fake.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.fake.Close() })
	return w
}

func (w *world) accepted(a awsfake.Accepted) {
	if a.Source != "client" {
		return
	}
	w.mu.Lock()
	destination := w.names[a.Name]
	w.mu.Unlock()
	id, err := uuid.Parse(a.Attributes[outbox.AttributeEventID])
	if err != nil {
		w.t.Errorf("a message without event id: %v", err)
		return
	}
	w.rec.Accepted(history.Acceptance{
		EventID: id, DeduplicationID: a.DeduplicationID, Destination: destination, Group: a.GroupID,
		MessageID: a.MessageID, SequenceNumber: a.SequenceNumber, Suppressed: a.Suppressed, Sum: history.Sum([]byte(a.Body)),
	})
}

func (w *world) sqsClient() *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(w.fake.URL()), Region: w.fake.Region(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  awsclient.HTTPClient(16), Retryer: awsclient.Retryer(),
	})
}

func (w *world) snsClient() *sns.Client {
	return sns.New(sns.Options{
		BaseEndpoint: aws.String(w.fake.URL()), Region: w.fake.Region(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  awsclient.HTTPClient(16), Retryer: awsclient.Retryer(),
	})
}

func (w *world) named(resource, destination string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[resource] = destination
}

// queue makes a FIFO queue and the destination of its name.
func (w *world) queue(name string, maxBytes int, onReject relay.OnReject, attributes map[string]string) {
	w.t.Helper()
	set := map[string]string{"FifoQueue": "true"}
	maps.Copy(set, attributes)
	c := w.sqsClient()
	out, err := c.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name + ".fifo"), Attributes: set})
	if err != nil {
		w.t.Fatal(err)
	}
	sink, err := sqssink.New(c, sqssink.Config{QueueURL: aws.ToString(out.QueueUrl), MaxMessageBytes: maxBytes})
	if err != nil {
		w.t.Fatal(err)
	}
	w.named(name+".fifo", name)
	w.destinations[name] = relay.Destination{Sink: recorded(sink, w.rec), OnReject: onReject}
}

// topic makes a FIFO topic with AWS's defaults and the destination of its name.
func (w *world) topic(name string) { w.topicWith(name, 0, nil) }

func (w *world) topicWith(name string, maxBytes int, attributes map[string]string) {
	w.t.Helper()
	set := map[string]string{"FifoTopic": "true"}
	maps.Copy(set, attributes)
	c := w.snsClient()
	out, err := c.CreateTopic(w.t.Context(), &sns.CreateTopicInput{Name: aws.String(name + ".fifo"), Attributes: set})
	if err != nil {
		w.t.Fatal(err)
	}
	sink, err := snssink.New(c, snssink.Config{TopicARN: aws.ToString(out.TopicArn), MaxMessageBytes: maxBytes})
	if err != nil {
		w.t.Fatal(err)
	}
	w.named(name+".fifo", name)
	w.destinations[name] = relay.Destination{Sink: recorded(sink, w.rec)}
}

func (w *world) fault(f awsfake.Fault) string {
	w.t.Helper()
	id, err := w.fake.AddFault(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// applied returns how often the planned fault has happened.
func (w *world) applied(id string) int {
	for _, f := range w.fake.Faults() {
		if f.ID == id {
			return f.Applied
		}
	}
	return 0
}

func event(aggregate, destination, payload string) outbox.Event {
	return outbox.Event{AggregateType: "order", AggregateID: aggregate, Type: "order.changed", Destination: destination, Payload: json.RawMessage(payload)}
}

// beginner is a pool, a connection or a transaction.
type beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// writer is a transaction that writes events.
type writer struct {
	*world
	tx     pgx.Tx
	events []history.Event
	undone []history.Event
}

func (w *world) begin(db beginner) *writer {
	w.t.Helper()
	tx, err := db.Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return &writer{world: w, tx: tx}
}

func (x *writer) write(events ...outbox.Event) {
	x.t.Helper()
	x.events = append(x.events, x.insert(x.tx, events...)...)
}

func (w *world) insert(tx pgx.Tx, events ...outbox.Event) []history.Event {
	w.t.Helper()
	ids, err := outbox.Enqueue(w.t.Context(), tx, events...)
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err := tx.Query(w.t.Context(), "select event_id, id from outbox.events where event_id = any ($1::uuid[])", ids)
	if err != nil {
		w.t.Fatal(err)
	}
	byID := map[uuid.UUID]int64{}
	var id uuid.UUID
	var row int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &row}, func() error { byID[id] = row; return nil }); err != nil {
		w.t.Fatal(err)
	}
	out := make([]history.Event, len(events))
	for i := range events {
		out[i] = history.Event{
			EventID: ids[i], Row: byID[ids[i]], Lane: events[i].Lane(),
			Group: outbox.GroupID(events[i].AggregateType, events[i].AggregateID), Sum: history.Sum(events[i].Payload),
		}
	}
	return out
}

// undo writes events that a savepoint takes back.
func (x *writer) undo(events ...outbox.Event) {
	x.t.Helper()
	inner, err := x.tx.Begin(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	x.undone = append(x.undone, x.insert(inner, events...)...)
	if err := inner.Rollback(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
}

func (x *writer) commit() {
	x.t.Helper()
	began := time.Now()
	if err := x.tx.Commit(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.rec.Committed(history.Commit{Began: began, Done: time.Now()}, x.events...)
	x.rec.RolledBack(x.undone...)
}

func (x *writer) rollback() {
	x.t.Helper()
	if err := x.tx.Rollback(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.rec.RolledBack(append(x.undone, x.events...)...)
}

// commit writes events in one transaction.
func (w *world) commit(events ...outbox.Event) {
	w.t.Helper()
	x := w.begin(w.pool)
	x.write(events...)
	x.commit()
}

// running is a relay at work.
type running struct {
	w      *world
	cancel context.CancelFunc
	done   chan struct{}
	sum    relay.Summary
	err    error
}

// start runs a relay on the database of pool until stop.
func (w *world) start(pool *pgxpool.Pool, change func(c *relay.Config)) *running {
	w.t.Helper()
	c := relay.Config{
		// A send takes milliseconds, and a lease is renewed all the time. On a busy
		// machine either may take long: nothing is to be cut short by that.
		Destinations: w.destinations, Concurrency: 16, SendTimeout: 20 * time.Second, LeaseTTL: time.Minute, RenewEvery: 200 * time.Millisecond,
		RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	r, err := relay.New(pgstore.New(pool), c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{w: w, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.sum, run.err = r.Run(ctx, time.Now().Add(time.Hour))
	}()
	w.t.Cleanup(func() {
		cancel()
		<-run.done
	})
	return run
}

// stop ends the relay and returns what it did.
func (r *running) stop() relay.Summary {
	r.w.t.Helper()
	r.cancel()
	<-r.done
	if r.err != nil {
		r.w.t.Fatal(r.err)
	}
	return r.sum
}

// until waits until ok returns true, and fails the test after a time. what names the condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("%s: not within %v; %+v", what, patience, w.fake.Tallies())
		}
	}
}

// rest waits until no event is left that could be sent, but for those of the
// named destinations.
func (w *world) rest(except ...string) {
	w.t.Helper()
	w.until("all events are settled", func() bool {
		return number(w.t, w.pool, `
			select count(*) from outbox.events e
			where e.sent_at is null and e.destination <> all ($1::text[])
			  and not exists (select from outbox.blocked b where (b.destination, b.aggregate_type, b.aggregate_id) = (e.destination, e.aggregate_type, e.aggregate_id))`, append([]string{}, except...)) == 0
	})
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func number(t *testing.T, db queryer, sql string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// judge reads where every event ended in the database of pool and checks all.
func (w *world) judge(pool *pgxpool.Pool) *history.Verdict {
	w.t.Helper()
	if err := w.rec.ReadFinals(w.t.Context(), pool, nil); err != nil {
		w.t.Fatal(err)
	}
	v := w.rec.Check(history.Config{ReadAhead: readAhead})
	if !v.OK() {
		w.t.Error(v)
	}
	return v
}

// onlyLong skips a test that takes minutes unless OUTBOX_TEST_LONG is set.
func onlyLong(t *testing.T) {
	t.Helper()
	if os.Getenv("OUTBOX_TEST_LONG") == "" {
		t.Skip("takes minutes: run make test-long")
	}
}

func name(prefix string, i int) string { return fmt.Sprintf("%s%d", prefix, i) }
