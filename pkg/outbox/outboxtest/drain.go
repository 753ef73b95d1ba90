package outboxtest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	// drainTimeout is the longest time from the start of Drain to the end of its relay's work. A relay carries
	// thousands of events a second, so only a sink that refuses comes near.
	drainTimeout = 30 * time.Second
	// drainPoll is the time between two looks at the outbox.
	drainPoll = 5 * time.Millisecond
	// drainRetry is the longest pause before an event that a sink did not accept is tried again: short, since
	// in tests sinks fail on purpose.
	drainRetry = 100 * time.Millisecond
)

// pendingSQL counts, by destination, the events that a relay has still to send.
const pendingSQL = `
	select e.destination, count(*)::integer
	from outbox.events e
	where e.sent_at is null and not exists (
		select from outbox.blocked b
		where (b.destination, b.aggregate_type, b.aggregate_id) = (e.destination, e.aggregate_type, e.aggregate_id)
		  and b.released_at is null)
	group by e.destination`

// Drain runs a relay in the process of the test until every committed event is sent, is a dead letter, or waits
// behind one. sinks has the sink of each destination by name, at least of those with unsent events; an event that
// names no destination goes to [outbox.DefaultDestination]. A rejected event becomes a dead letter, and its lane
// goes on.
//
// Drain fails the test when sinks is empty or has a nil sink, when an event has no sink, when another relay on the
// database is to run for longer than [relay.DefaultJoinWindow], when the relay or a look at the outbox fails, and
// after 30 seconds. The summary says how many events were published and how many became dead letters. It is zero when
// no event was to be sent.
func Drain(tb testing.TB, pool *pgxpool.Pool, sinks map[string]outbox.Sink) relay.Summary {
	tb.Helper()
	return drain(tb, pool, sinks, drainTimeout)
}

func drain(tb testing.TB, pool *pgxpool.Pool, sinks map[string]outbox.Sink, timeout time.Duration) relay.Summary {
	tb.Helper()
	if pool == nil {
		tb.Fatal("pool is nil: make it with outboxtest.DB")
	}
	destinations := make(map[string]relay.Destination, len(sinks))
	for name, sink := range sinks {
		destinations[name] = relay.Destination{Sink: sink}
	}
	r, err := relay.New(pgstore.New(pool), relay.Config{
		Destinations: destinations,
		RetryMax:     drainRetry,
		Logger:       slog.New(slog.NewTextHandler(tb.Output(), nil)),
	})
	if err != nil {
		tb.Fatalf("drain: sinks: %v", err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), timeout)
	defer cancel()
	before, err := countPending(ctx, pool)
	if err != nil {
		fatalRead(tb, err)
	}
	if problem := before.without(sinks); problem != "" {
		tb.Fatalf("drain: %s", problem)
	}
	if len(before) == 0 {
		return relay.Summary{}
	}

	var summary relay.Summary
	var runErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		summary, runErr = r.Run(ctx, time.Now().Add(timeout))
	}()
	problem := watch(ctx, pool, sinks, done)
	cancel()
	<-done
	switch {
	case runErr != nil:
		tb.Fatalf("drain: %v", runErr)
	case summary.Outcome == relay.Standby:
		tb.Fatal("drain: another relay runs on this database: end it first, or give the test a database of its own")
	case problem != "":
		tb.Fatalf("drain: %s%s", problem, failures(summary))
	}
	return summary
}

// watch reads the outbox every drainPoll until no event is left to send, and then returns "". It returns a text for
// the failed test instead when an event has no sink, when the outbox cannot be read, when ctx ends, and when done is
// closed, because the relay ended, and events are left.
func watch(ctx context.Context, pool *pgxpool.Pool, sinks map[string]outbox.Sink, done <-chan struct{}) string {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	var left pending
	for {
		now, err := countPending(ctx, pool)
		switch {
		case ctx.Err() != nil:
			return fmt.Sprintf("%s were not sent in time", left)
		case err != nil:
			return fmt.Sprintf("count the events: %v", err)
		case len(now) == 0:
			return ""
		}
		left = now
		if problem := left.without(sinks); problem != "" {
			return problem
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		case <-done:
			return fmt.Sprintf("%s are left, and the relay ended", left)
		}
	}
}

// pending has the number of events still to send, by destination. Destinations without any are not in it.
type pending map[string]int

func countPending(ctx context.Context, pool *pgxpool.Pool) (pending, error) {
	rows, err := pool.Query(ctx, pendingSQL)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was read
	}
	p := pending{}
	var name string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		p[name] = n
		return nil
	})
	return p, err //nolint:wrapcheck // the caller says what was read
}

// without returns a text about the first destination by name that has events in p and no sink, "" when there is none.
func (p pending) without(sinks map[string]outbox.Sink) string {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if _, ok := sinks[name]; !ok {
			return fmt.Sprintf("%s are to be sent, and sinks has no %q: add a sink of that name", p, name)
		}
	}
	return ""
}

// String returns the numbers in one line, such as "events (2 for audit, 1 for default)".
func (p pending) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, fmt.Sprintf("%d for %s", p[name], name))
	}
	return "events (" + strings.Join(parts, ", ") + ")"
}

// failures returns a line break and a line with the latest failure for each destination that failed as a whole, "" when
// none did.
func failures(summary relay.Summary) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(summary.Destinations)) {
		if text := summary.Destinations[name].LastError; text != "" {
			fmt.Fprintf(&b, "\n  %s: %s", name, text)
		}
	}
	return b.String()
}
