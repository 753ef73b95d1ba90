package nastiest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// An event that can never be accepted, at each place of a batch: it becomes a dead letter with its reason, and
// other events are sent as if it were not there.
func TestPoisonAtEachPlaceHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	large := fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 3000))
	for what, c := range map[string]struct {
		sinkBytes  int
		attributes map[string]string
		payload    string
		refused    bool // by the broker, whatever its size
	}{
		"larger than the sink takes":       {sinkBytes: 2048, payload: large},
		"larger than the queue was set to": {attributes: map[string]string{"MaximumMessageSize": "2048"}, payload: large},
		"with a bad attribute":             {payload: `{}`, refused: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.queue("orders", c.sinkBytes, relay.Skip, c.attributes)
			r := w.start(w.pool, nil)
			for place := range 10 {
				var id string
				if c.refused {
					id = w.fault(awsfake.Fault{
						Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", name("a", place)), Count: 1,
						Code: "InvalidParameterValue", SenderFault: true, Message: "a bad attribute",
					})
				}
				var events []outbox.Event
				for i := range 20 {
					payload := `{}`
					if i == place {
						payload = c.payload
					}
					events = append(events, event(name("a", i%10), "orders", payload))
				}
				w.commit(events...)
				w.rest()
				if id != "" && w.applied(id) != 1 {
					t.Errorf("place %d: the fault happened %d times", place, w.applied(id))
				}
			}
			r.stop()
			v := w.judge(w.pool)
			if v.DeadLetters != 10 || v.Accepted != 190 || v.Sends != 190 {
				t.Errorf("dead = %d, accepted = %d, sends = %d, want 10, 190 and 190", v.DeadLetters, v.Accepted, v.Sends)
			}
			if n := number(t, w.pool, "select count(distinct aggregate_id) from outbox.dead_letters where code <> '' and reason <> '' and attempts >= 1"); n != 10 {
				t.Errorf("%d aggregates have a dead letter with its reason, want 10", n)
			}
		})
	}
}

// A destination that refuses everything, call by call or entry by entry, charges no event with an attempt, and does not
// slow another destination. It has worked before.
func TestDeadDestinationBurnsNoAttemptsAndHurtsNobody(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]awsfake.Fault{
		"access denied":      {Kind: awsfake.FailCall, Code: "AccessDenied", Status: 403, SenderFault: true},
		"no such queue":      {Kind: awsfake.FailCall, Code: "AWS.SimpleQueueService.NonExistentQueue", Status: 400, SenderFault: true},
		"throttled":          {Kind: awsfake.FailCall, Code: "RequestThrottled", Status: 403, SenderFault: true},
		"entries fail":       {Kind: awsfake.FailEntry, Code: "InternalError"},
		"unknown code":       {Kind: awsfake.FailCall, Code: "NotInAnyList", Status: 400, SenderFault: true},
		"too large, a page":  {Kind: awsfake.FailCall, Code: "NotInAnyList", Status: 413, SenderFault: true},
		"dropped connection": {Kind: awsfake.DropConnection},
		"no answer":          {Kind: awsfake.LoseResponse, Mode: awsfake.LossHang},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.queue("dead", 0, relay.Skip, nil)
			w.queue("healthy", 0, relay.Skip, nil)
			fault.Resource = "dead.fifo"
			before := []outbox.Event{event("a0", "dead", `{}`), event("a0", "healthy", `{}`)}
			tries := 10
			if fault.Kind == awsfake.LoseResponse {
				tries = 4 // each takes as long as a send may
			}
			r := w.start(w.pool, func(c *relay.Config) {
				c.MaxAttempts = 2
				if fault.Kind == awsfake.LoseResponse {
					c.SendTimeout = time.Second
				}
			})
			w.commit(before...)
			w.rest()
			id := w.fault(fault)
			var events []outbox.Event
			for i := range 300 {
				events = append(events, event(name("a", i%50), "dead", `{}`), event(name("a", i%50), "healthy", `{}`))
			}
			w.commit(events...)
			w.rest("dead")
			// The same entry fails far more often than MaxAttempts.
			w.until("the destination is tried again", func() bool { return w.applied(id) >= tries })
			if n := number(t, w.pool, "select count(*) from outbox.events where sent_at is null"); n != 300 {
				t.Errorf("%d events wait, want the 300 of the dead destination", n)
			}
			w.fake.RemoveFault(id)
			w.rest()
			sum := r.stop()
			v := w.judge(w.pool)
			if v.DeadLetters != 0 || v.Accepted != 602 || sum.DeadLetters != 0 {
				t.Errorf("dead = %d, accepted = %d, want 0 and 602", v.DeadLetters, v.Accepted)
			}
		})
	}
}

// Further relays do not multiply the attempts of an event that is refused while others are accepted.
func TestManyRelaysOnOnePoison(t *testing.T) {
	t.Parallel()
	const relays, attempts = 4, 5
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	for range relays {
		w.start(w.pool, func(c *relay.Config) {
			c.Relays = relays
			c.MaxAttempts = attempts
		})
	}
	w.until("every relay has its share", func() bool {
		return number(t, w.pool, "select count(*) from (select owner from outbox.shards where owner is not null group by owner having count(*) = 16) as s") == relays
	})
	id := w.fault(awsfake.Fault{Kind: awsfake.FailEntry, Code: "InternalError", GroupID: outbox.GroupID("order", "a0")})
	var events []outbox.Event
	for i := range 100 {
		events = append(events, event(name("a", i), "orders", `{}`))
	}
	w.commit(events...)
	others := len(events) - 1
	w.until("the poison is dead", func() bool {
		w.commit(events[1:]...)
		others += len(events) - 1
		return number(t, w.pool, "select count(*) from outbox.dead_letters") == 1
	})
	w.rest()
	if n := w.applied(id); n < attempts {
		t.Errorf("the poison was tried %d times by %d relays, want %d or more", n, relays, attempts)
	}
	if n := number(t, w.pool, "select attempts from outbox.dead_letters where aggregate_id = 'a0'"); n != attempts {
		t.Errorf("the dead letter has %d attempts, want %d", n, attempts)
	}
	if v := w.judge(w.pool); v.DeadLetters != 1 || v.Accepted != others {
		t.Errorf("dead = %d, accepted = %d, want 1 and %d", v.DeadLetters, v.Accepted, others)
	}
}

// Quiet aggregates write after a hot one, and are through long before it.
func TestHotAggregateHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	const hot, quiet = 1500, 200
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	var backlog []outbox.Event
	for range hot {
		backlog = append(backlog, event("hot", "orders", `{}`))
	}
	w.commit(backlog...)
	r := w.start(w.pool, nil)
	w.until("the hot one is being sent", func() bool { return w.fake.Tally("orders.fifo").Accepted > 0 })
	var others []outbox.Event
	for i := range quiet {
		others = append(others, event(name("quiet", i), "orders", `{}`))
	}
	w.commit(others...)
	w.rest()
	r.stop()
	ahead, seen := 0, 0
	for a := range w.fake.History() {
		if a.GroupID == outbox.GroupID("order", "hot") {
			ahead++
		} else if seen++; seen == quiet {
			break
		}
	}
	if seen != quiet || ahead > hot/2 {
		t.Errorf("%d of %d hot events were sent before the last of %d quiet ones, want less than half", ahead, hot, seen)
	}
	w.judge(w.pool)
}

// What waits behind a dead letter comes in order when it is released.
func TestReleasedBacklogOfOneAggregateComesInOrder(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1_000, 100_000} {
		t.Run(name("events ", count), func(t *testing.T) {
			t.Parallel()
			if count > 1_000 {
				onlyLong(t)
			}
			releaseBacklog(t, count)
		})
	}
}

func releaseBacklog(t *testing.T, count int) {
	t.Helper()
	w := newWorld(t)
	w.queue("orders", 0, relay.Block, nil)
	id := w.fault(awsfake.Fault{Kind: awsfake.FailEntry, Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
	r := w.start(w.pool, nil)
	w.commit(event("a", "orders", `{}`))
	w.until("the lane is on hold", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == 1 })
	for from := 0; from < count; from += 1000 {
		var events []outbox.Event
		for i := range min(1000, count-from) {
			events = append(events, event("a", "orders", fmt.Sprintf(`{"n":%d}`, from+i)))
		}
		w.commit(events...)
	}
	w.commit(event("b", "orders", `{}`))
	w.rest()
	if n := w.fake.Tally("orders.fifo").Accepted; n != 1 {
		t.Errorf("%d events were sent, want only the one of the other aggregate", n)
	}
	execute(t, w.pool, "update outbox.blocked set released_at = clock_timestamp()")
	w.until("the backlog is sent", func() bool {
		return number(t, w.pool, "select count(*) from outbox.events where sent_at is null") == 0
	})
	w.commit(event("a", "orders", `{"last":true}`))
	w.until("the hold is gone", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == 0 })
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.DeadLetters != 1 || v.Accepted != count+2 || w.applied(id) != 1 {
		t.Errorf("dead = %d, accepted = %d, want 1 and %d", v.DeadLetters, v.Accepted, count+2)
	}
}
