package outboxtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestDrainSendsEachEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	var sink outboxtest.Sink
	sinks := map[string]outbox.Sink{"default": &sink}
	want := 0
	for range 2 { // The second relay goes on where the first ended.
		for range 30 {
			want++
			enqueue(t, pool, outbox.Event{AggregateType: "order", AggregateID: "1", Type: "order.placed", Payload: fmt.Append(nil, want)})
		}
		if sum := outboxtest.Drain(t, pool, sinks); sum.Settled != 30 {
			t.Errorf("the relay settled %d events, want 30", sum.Settled)
		}
	}
	got := sink.Messages()
	if len(got) != want {
		t.Fatalf("%d messages, want %d", len(got), want)
	}
	for i, m := range got {
		if m.Body != fmt.Sprint(i+1) {
			t.Errorf("message %d is %s", i+1, m.Body)
		}
	}
	if n := len(outboxtest.Enqueued(t, pool)); n != want {
		t.Errorf("%d events are enqueued after the drain, want %d", n, want)
	}
}

func TestDrainOfNothingReturns(t *testing.T) {
	t.Parallel()
	sum := outboxtest.Drain(t, outboxtest.DB(t), map[string]outbox.Sink{"default": &outboxtest.Sink{}})
	if sum.Published != 0 {
		t.Errorf("%d events published", sum.Published)
	}
}

// refuse is a sink that gives every message the same result.
type refuse struct{ result outbox.Result }

func (refuse) Limits() outbox.Limits { return new(outboxtest.Sink).Limits() }

func (r refuse) Publish(_ context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	for i := range results {
		results[i] = r.result
	}
	return results
}

func TestDrainEndsWithDeadLetters(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	enqueue(t, pool, placed("1"), placed("2"))
	rejected := refuse{outbox.Result{Class: outbox.Rejected, Err: errors.New("too sour"), Code: "Taste"}}
	outboxtest.Drain(t, pool, map[string]outbox.Sink{"default": rejected})
	if got := count(t, pool, "select count(*) from outbox.dead_letters where code = 'Taste'"); got != 2 {
		t.Errorf("%d dead letters, want 2", got)
	}
	outboxtest.RequireEnqueued(t, pool, placed("1"))
}

func TestDrainLeavesEventsBehindADeadLetter(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	enqueue(t, pool, placed("1"))
	_, err := pool.Exec(t.Context(), `
		insert into outbox.blocked (destination, aggregate_type, aggregate_id, shard, first_id, event_id, reason)
		select destination, aggregate_type, aggregate_id, shard, id, event_id, 'test' from outbox.events`)
	if err != nil {
		t.Fatal(err)
	}
	var sink outboxtest.Sink
	outboxtest.Drain(t, pool, map[string]outbox.Sink{"default": &sink})
	if n := len(sink.Messages()); n != 0 {
		t.Errorf("%d messages of a blocked lane", n)
	}
}

func TestDrainSaysWhatToDo(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	audit := placed("1")
	audit.Destination = "audit"
	enqueue(t, pool, audit)
	one := map[string]outbox.Sink{"default": &outboxtest.Sink{}}
	for name, c := range map[string]struct {
		pool  *pgxpool.Pool
		sinks map[string]outbox.Sink
		want  []string
	}{
		"no pool":                     {nil, one, []string{"pool is nil: make it with outboxtest.DB"}},
		"no sinks":                    {pool, nil, []string{"sinks", "name at least one"}},
		"a nil sink":                  {pool, map[string]outbox.Sink{"audit": nil}, []string{"audit", "no Sink"}},
		"no sink for the destination": {pool, one, []string{"1 for audit", `sinks has no "audit": add a sink of that name`}},
		"no outbox":                   {outboxtest.DB(t, outboxtest.Unmigrated()), one, []string{"no outbox", "outboxtest.DB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.want, func(x *testingtb.T) { outboxtest.Drain(x, c.pool, c.sinks) })
		})
	}
}

func TestDrainNamesTheFailureOfADestination(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	enqueue(t, pool, placed("1"))
	down := refuse{outbox.Result{Class: outbox.Unavailable, Err: errors.New("access denied"), Code: "AccessDenied"}}
	expect(t, []string{"1 for default", "not sent in time", "default: ", "access denied"}, func(x *testingtb.T) {
		outboxtest.DrainWithin(x, pool, map[string]outbox.Sink{"default": down}, 2*time.Second)
	})
}

func TestDrainRefusesASecondRelay(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	enqueue(t, pool, placed("1"))
	sink := sending{started: make(chan struct{}), end: make(chan struct{})}
	r, err := relay.New(pgstore.New(pool), relay.Config{Destinations: map[string]relay.Destination{"default": {Sink: sink}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, runErr := r.Run(ctx, time.Now().Add(time.Hour))
		done <- runErr
	}()
	<-sink.started
	expect(t, []string{"another relay runs on this database"}, func(x *testingtb.T) {
		outboxtest.Drain(x, pool, map[string]outbox.Sink{"default": &outboxtest.Sink{}})
	})
	cancel()
	close(sink.end)
	if err = <-done; err != nil {
		t.Error(err)
	}
}

// sending is a sink whose one call lasts until end is closed.
type sending struct{ started, end chan struct{} }

func (sending) Limits() outbox.Limits { return new(outboxtest.Sink).Limits() }

func (s sending) Publish(_ context.Context, msgs []outbox.Message) []outbox.Result {
	close(s.started)
	<-s.end
	return make([]outbox.Result, len(msgs))
}

func TestSinkKeepsTheContract(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(*testing.T) sinktest.Harness {
		var sink outboxtest.Sink
		return sinktest.Harness{Sink: &sink, Accepted: func(t *testing.T) []sinktest.Accepted {
			t.Helper()
			return accepted(t, &sink)
		}}
	})
}

// accepted asks the sink for its results by sending each message again.
func accepted(t *testing.T, sink *outboxtest.Sink) []sinktest.Accepted {
	t.Helper()
	var all []sinktest.Accepted
	for _, m := range sink.Messages() {
		r := sink.Publish(t.Context(), []outbox.Message{m})[0]
		a := sinktest.Accepted{
			GroupID: m.GroupID, DeduplicationID: m.DeduplicationID, Body: m.Body, Attributes: map[string]string{},
			MessageID: r.MessageID, SequenceNumber: r.SequenceNumber,
		}
		for _, attribute := range m.Attributes {
			a.Attributes[attribute.Name] = attribute.Value
		}
		all = append(all, a)
	}
	return all
}
