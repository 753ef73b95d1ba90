package pgadmin_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// bury gives events up, with or without a hold on their lanes.
func bury(t *testing.T, store *store, relayID uuid.UUID, block bool, ids ...int64) {
	t.Helper()
	var s relay.Settlement
	for _, id := range ids {
		s.DeadLetters = append(s.DeadLetters, relay.DeadLetter{ID: id, Attempts: 3, Code: "C", Reason: "R", Block: block})
	}
	if got := settle(t, store, relayID, s); got.DeadLetters != len(ids) {
		t.Fatalf("%d are dead, want %d", got.DeadLetters, len(ids))
	}
}

func redriveDead(t *testing.T, store *store, r redrive.Request) []rows.Row {
	t.Helper()
	got, err := store.RedriveDeadLetters(t.Context(), rows.Batch{Request: &r, RequestID: "me", Limit: 100})
	if err != nil {
		t.Fatalf("redrive: %v", err)
	}
	return got
}

func releaseBlocked(t *testing.T, store *store, r redrive.Request) []rows.Row {
	t.Helper()
	got, err := store.ReleaseBlocked(t.Context(), rows.Batch{Request: &r, RequestID: "me", Limit: 100})
	if err != nil {
		t.Fatalf("release: %v", err)
	}
	return got
}

func outcomes(got []rows.Row) string {
	var text strings.Builder
	for _, r := range got {
		fmt.Fprintf(&text, "%d %s ", r.ID, r.Outcome)
	}
	return text.String()
}

// everywhere is where events are, by id: an event is in one place only.
const everywhere = `select coalesce(string_agg(id || ' ' || place, ',' order by id, place), '') from (
	select id, case when sent_at is null then 'pending' else 'sent' end as place from outbox.events
	union all select id, 'dead' from outbox.dead_letters
	union all select id, 'archived' from outbox.archive) as e`

func eventIDOf(t *testing.T, pool *pgxpool.Pool, table string, id int64) uuid.UUID {
	t.Helper()
	return uuid.MustParse(query[string](t, pool, "select event_id::text from outbox."+table+" where id = $1::bigint", id))
}

func TestDeadEventOfABlockedLaneGoesBackInFrontOfIt(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			renew(t, store, relay.Renewal{RelayID: id})
			head, held, other := insert(t, pool, "a"), insert(t, pool, "a"), insert(t, pool, "b")
			event := eventIDOf(t, pool, "events", head)
			created := query[time.Time](t, pool, "select created_at from outbox.events where id = $1::bigint", head)
			bury(t, store, id, true, head)

			dry := redriveDead(t, store, redrive.Request{DryRun: true})
			if outcomes(dry) != fmt.Sprintf("%d redriven ", head) || query[int](t, pool, "select count(*) from outbox.dead_letters") != 1 {
				t.Errorf("dry run = %v", dry)
			}
			got := redriveDead(t, store, redrive.Request{})
			if len(got) != 1 || got[0].ID != head || got[0].EventID != event || got[0].Outcome != rows.Redriven || !got[0].Ordered ||
				got[0].Lane.AggregateID != "a" || got[0].Lane.AggregateType != "order" || got[0].Lane.Destination != "default" {
				t.Fatalf("redriven = %+v", got)
			}
			if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d pending,%d pending,%d pending", head, held, other) {
				t.Errorf("events = %s", got)
			}
			if got := query[string](t, pool, `select replays || ' ' || payload::text || headers::text || (created_at = $2::timestamptz) || (event_id = $3::uuid)
				from outbox.events where id = $1::bigint`, head, created, event.String()); got != `1 {"b": 1, "a":2}{"k": "v"}truetrue` {
				t.Errorf("row = %s", got)
			}
			if got := query[string](t, pool, "select source || request_id || row_id || generation || attempts || code || reason || destination from outbox.redrives"); got != fmt.Sprintf("dead_lettersme%d13CRdefault", head) {
				t.Errorf("history = %s", got)
			}
			lease := renew(t, store, relay.Renewal{RelayID: id})
			if len(lease.Released) != 1 || lease.Released[0].FirstID != head || lease.Released[0].Lane != got[0].Lane {
				t.Errorf("released = %+v", lease.Released)
			}
			if again := redriveDead(t, store, redrive.Request{}); len(again) != 0 {
				t.Errorf("again = %+v", again)
			}
		})
	}
}

func TestDeadEventThatItsLaneWentOnWithoutNeedsConfirmation(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	skipped, head, held := insert(t, pool, "a"), insert(t, pool, "a"), insert(t, pool, "a")
	bury(t, store, id, false, skipped)
	bury(t, store, id, true, head)
	// The head would go ahead of one that died earlier.
	got := redriveDead(t, store, redrive.Request{})
	if outcomes(got) != fmt.Sprintf("%d unconfirmed %d unconfirmed ", skipped, head) || query[int](t, pool, "select count(*) from outbox.dead_letters") != 2 {
		t.Fatalf("without confirmation: %+v", got)
	}
	if n := query[int](t, pool, "select count(*) from outbox.blocked where released_at is null"); n != 1 {
		t.Errorf("%d lanes on hold, want the one that was", n)
	}
	// Alone, it waits in a lane that stays on hold.
	got = redriveDead(t, store, redrive.Request{Confirm: true, IDTo: skipped})
	if outcomes(got) != fmt.Sprintf("%d redriven ", skipped) || got[0].Ordered {
		t.Fatalf("confirmed: %+v", got)
	}
	if got := query[string](t, pool, "select first_id || ' ' || (released_at is null) from outbox.blocked"); got != fmt.Sprintf("%d true", skipped) {
		t.Errorf("hold = %s, want it to begin with the event and to go on", got)
	}
	got = redriveDead(t, store, redrive.Request{})
	if outcomes(got) != fmt.Sprintf("%d redriven ", head) || !got[0].Ordered {
		t.Errorf("the head after it: %+v", got)
	}
	if got := query[string](t, pool, "select first_id || ' ' || (released_at is null) from outbox.blocked"); got != fmt.Sprintf("%d false", skipped) {
		t.Errorf("hold = %s", got)
	}
	if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d pending,%d pending,%d pending", skipped, head, held) {
		t.Errorf("events = %s", got)
	}
}

func TestRedriveIntoALaneThatIsNotOnHoldReleasesItAnew(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	renew(t, store, relay.Renewal{RelayID: id})
	a, b := insert(t, pool, "a"), insert(t, pool, "a")
	bury(t, store, id, false, a, b)
	redriveDead(t, store, redrive.Request{Confirm: true, IDFrom: b})
	first := renew(t, store, relay.Renewal{RelayID: id}).Released
	redriveDead(t, store, redrive.Request{Confirm: true})
	// The relay that searched the lane before the second came may not go on.
	second := renew(t, store, relay.Renewal{RelayID: id, Unblock: first}).Released
	if len(first) != 1 || len(second) != 1 || first[0].FirstID != b || second[0].FirstID != a || !second[0].ReleasedAt.After(first[0].ReleasedAt) {
		t.Fatalf("released %+v, then %+v", first, second)
	}
	if left := renew(t, store, relay.Renewal{RelayID: id, Unblock: second}).Released; len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestRedirectedEventGoesElsewhereAndItsLaneStaysOnHold(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	head := insert(t, pool, "a")
	bury(t, store, id, true, head)
	if got := redriveDead(t, store, redrive.Request{Redirect: "other"}); outcomes(got) != fmt.Sprintf("%d unconfirmed ", head) {
		t.Fatalf("without confirmation: %+v", got)
	}
	if got := redriveDead(t, store, redrive.Request{Redirect: "other", Confirm: true}); outcomes(got) != fmt.Sprintf("%d redriven ", head) || got[0].Ordered {
		t.Fatalf("confirmed: %+v", got)
	}
	if got := query[string](t, pool, "select destination from outbox.events where id = $1::bigint", head); got != "other" {
		t.Errorf("destination = %s", got)
	}
	if got := query[string](t, pool, "select string_agg(destination || ' ' || (released_at is null), ',' order by destination) from outbox.blocked"); got != "default true,other false" {
		t.Errorf("holds = %s", got)
	}
	// Nothing is left to go first: the lane goes on without it, when that is confirmed.
	if got := releaseBlocked(t, store, redrive.Request{}); outcomes(got) != fmt.Sprintf("%d unconfirmed ", head) {
		t.Errorf("release without confirmation = %+v", got)
	}
	if got := releaseBlocked(t, store, redrive.Request{Confirm: true}); outcomes(got) != fmt.Sprintf("%d released ", head) {
		t.Errorf("release = %+v", got)
	}
}

// A row that cannot go back ends its lane, and nobody else's.
func TestLaneEndsAtTheFirstThatCannotGoBack(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil, mend string
		want        rows.Outcome
	}{
		"its partition is being archived": {
			"alter table outbox.events_p000000 add constraint being_archived check (sent_at is not null) not valid",
			"alter table outbox.events_p000000 drop constraint being_archived", rows.Archiving,
		},
		"the row breaks a rule": {
			"update outbox.dead_letters set headers = '[]' where aggregate_id = 'a' and id = (select min(id) from outbox.dead_letters)",
			"update outbox.dead_letters set headers = null where aggregate_id = 'a'", rows.Refused,
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t)
			store := newStore(pool)
			id := join(t, store)
			a1, b1, a2 := insert(t, pool, "a"), insert(t, pool, "b"), insert(t, pool, "a")
			bury(t, store, id, false, a1, b1, a2)
			exec(t, pool, c.spoil)
			got := redriveDead(t, store, redrive.Request{Confirm: true})
			if len(got) != 3 || got[0].Outcome != c.want || got[2].Outcome != rows.Behind {
				t.Fatalf("redriven = %+v", got)
			}
			if refused := c.want == rows.Refused; refused != (got[1].Outcome == rows.Redriven) {
				t.Errorf("the other lane = %+v", got[1])
			}
			exec(t, pool, c.mend)
			redriveDead(t, store, redrive.Request{Confirm: true})
			if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d pending,%d pending,%d pending", a1, b1, a2) {
				t.Errorf("events = %s", got)
			}
		})
	}
}

// The range of the id is one of the archive by now: the default partition takes
// the row, and reading finds it.
func TestDeadEventOfAnArchivedRangeGoesBack(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	dead, sent := insert(t, pool, "a"), insert(t, pool, "b")
	bury(t, store, id, true, dead)
	settle(t, store, id, accept(sent))
	exec(t, pool, "alter table outbox.events detach partition outbox.events_p000000")
	exec(t, pool, "alter table outbox.events_p000000 alter sent_at set not null")
	exec(t, pool, "alter table outbox.archive attach partition outbox.events_p000000 for values from (0) to (1000000)")
	if got := redriveDead(t, store, redrive.Request{}); outcomes(got) != fmt.Sprintf("%d redriven ", dead) {
		t.Fatalf("redriven = %+v", got)
	}
	if got := query[string](t, pool, "select tableoid::regclass || ' ' || id from outbox.events"); got != fmt.Sprintf("outbox.events_default %d", dead) {
		t.Errorf("row in %s", got)
	}
	if got := fetch(t, store, relay.Fetch{Destinations: []relay.DestinationBackfill{{Destination: "default", Page: relay.Page{From: 1, Limit: 10, Examine: 100}}}, Shards: allShards()}); len(got.Destinations[0].Records) != 0 {
		t.Errorf("a row of a blocked lane was read: %+v", got.Destinations[0])
	}
	renew(t, store, relay.Renewal{RelayID: id, Unblock: renew(t, store, relay.Renewal{RelayID: id}).Released})
	got := fetch(t, store, relay.Fetch{Destinations: []relay.DestinationBackfill{{Destination: "default", Page: relay.Page{From: 1, Limit: 10, Examine: 100}}}, Shards: allShards()})
	wantIDs(t, "unsent rows", recordIDs(got.Destinations[0].Records), dead)
}

// Once it was sent, the janitor moves it to the archive from there.
func TestRedrivenEventOfAnArchivedRangeIsArchivedAfterAll(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	dead := insert(t, pool, "a")
	bury(t, store, id, true, dead)
	exec(t, pool, "alter table outbox.events detach partition outbox.events_p000000")
	exec(t, pool, "alter table outbox.events_p000000 alter sent_at set not null")
	exec(t, pool, "alter table outbox.events_p000000 rename to archive_p000000")
	exec(t, pool, "alter table outbox.archive attach partition outbox.archive_p000000 for values from (0) to (1000000)")
	redriveDead(t, store, redrive.Request{})
	const move = "select outcome || moved from outbox.move_sent(null, 0, clock_timestamp(), 100)"
	if got := query[string](t, pool, move); got != "done0" {
		t.Errorf("unsent: %s", got)
	}
	settle(t, store, id, accept(dead))
	replayed, p := search(t, store, redrive.Request{AggregateType: "order"}, 10)
	if p.Found != 1 {
		t.Fatalf("found %d", p.Found)
	}
	if got := query[string](t, pool, move); got != "done1" {
		t.Errorf("sent: %s", got)
	}
	if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d archived", dead) {
		t.Errorf("events = %s", got)
	}
	// A replay that had found it copies it from there.
	if step := copyNext(t, store, replayed, 10); step.Count != 1 || step.Outcome != replay.Copied {
		t.Errorf("step = %+v", step)
	}
}

func TestReleaseOfABlockedLane(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			a1, a2, b1, b2 := insert(t, pool, "a"), insert(t, pool, "a"), insert(t, pool, "b"), insert(t, pool, "b")
			bury(t, store, id, true, a1, b1)
			dry := releaseBlocked(t, store, redrive.Request{DryRun: true})
			if outcomes(dry) != fmt.Sprintf("%d redriven %d redriven ", a1, b1) || query[int](t, pool, "select count(*) from outbox.blocked where released_at is null") != 2 {
				t.Errorf("dry run = %+v", dry)
			}
			if got := releaseBlocked(t, store, redrive.Request{AggregateType: "order", AggregateID: "a"}); outcomes(got) != fmt.Sprintf("%d redriven ", a1) || !got[0].Ordered {
				t.Errorf("with its dead event: %+v", got)
			}
			if got := releaseBlocked(t, store, redrive.Request{Confirm: true}); outcomes(got) != fmt.Sprintf("%d released ", b1) || got[0].Ordered {
				t.Errorf("without it: %+v", got)
			}
			if got := query[string](t, pool, everywhere); got != fmt.Sprintf("%d pending,%d pending,%d dead,%d pending", a1, a2, b1, b2) {
				t.Errorf("events = %s", got)
			}
			if got := query[int](t, pool, "select count(*) from outbox.blocked where released_at is not null"); got != 2 {
				t.Errorf("%d lanes are released, want both", got)
			}
			if got := query[string](t, pool, "select source || row_id from outbox.redrives"); got != fmt.Sprintf("blocked%d", a1) {
				t.Errorf("history = %s", got)
			}
			// What was skipped is behind its lane by now.
			if got := redriveDead(t, store, redrive.Request{}); outcomes(got) != fmt.Sprintf("%d redriven ", b1) {
				t.Errorf("before a relay has resumed the lane: %+v", got)
			}
		})
	}
}

func TestFiltersOfARedrive(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			a, b, c := insert(t, pool, "a"), insertTo(t, pool, "other", "b"), insert(t, pool, "c")
			exec(t, pool, "update outbox.events set event_type = 'order.paid' where id = $1::bigint", c)
			bury(t, store, id, true, a, b, c)
			at := func(id int64) time.Time {
				return query[time.Time](t, pool, "select created_at from outbox.dead_letters where id = $1::bigint", id)
			}
			event := eventIDOf(t, pool, "dead_letters", b)
			for what, tc := range map[string]struct {
				r    redrive.Request
				want []int64
			}{
				"none":        {redrive.Request{}, []int64{a, b, c}},
				"event ids":   {redrive.Request{EventIDs: []uuid.UUID{event, uuid.New()}}, []int64{b}},
				"destination": {redrive.Request{Destination: "other"}, []int64{b}},
				"aggregate":   {redrive.Request{AggregateType: "order", AggregateID: "c"}, []int64{c}},
				"type":        {redrive.Request{AggregateType: "order"}, []int64{a, b, c}},
				"event type":  {redrive.Request{EventType: "order.paid"}, []int64{c}},
				"from":        {redrive.Request{From: at(b)}, []int64{b, c}},
				"to":          {redrive.Request{To: at(b)}, []int64{a}},
				"ids":         {redrive.Request{IDFrom: b, IDTo: b}, []int64{b}},
				"two of them": {redrive.Request{IDFrom: b, EventType: "order.paid"}, []int64{c}},
			} {
				tc.r.DryRun = true
				for call, got := range map[string][]rows.Row{"dead letters": redriveDead(t, store, tc.r), "blocked": releaseBlocked(t, store, tc.r)} {
					var ids []int64
					for _, r := range got {
						ids = append(ids, r.ID)
					}
					wantIDs(t, call+" by "+what, ids, tc.want...)
				}
			}
		})
	}
}

// Headers may have escapes that functions of PostgreSQL refuse to read: a list shows them as they are.
func TestListOfDeadLettersTakesEveryHeader(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	id := join(t, store)
	odd, plain := insert(t, pool, "a"), insert(t, pool, "b")
	const headers = `{"e":"\u0000\u001b","":"\ud800"}`
	exec(t, pool, "update outbox.events set headers = $1::text::json where id = $2", headers, odd)
	exec(t, pool, "update outbox.events set headers = null where id = $1", plain)
	bury(t, store, id, false, odd)
	bury(t, store, id, false, plain)
	dead, err := store.DeadLetters(t.Context(), &redrive.Request{}, 0, 10, true)
	if err != nil || len(dead) != 2 || string(dead[0].Headers) != headers || dead[1].Headers != nil {
		t.Errorf("dead letters = %+v, %v", dead, err)
	}
}

func TestListsOfWhatIsAside(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			a, b, held := insert(t, pool, "a"), insertTo(t, pool, "other", "b"), insertTo(t, pool, "other", "b")
			bury(t, store, id, false, a)
			bury(t, store, id, true, b)
			dead, err := store.DeadLetters(t.Context(), &redrive.Request{}, 0, 10, false)
			if err != nil || len(dead) != 2 || dead[0].ID != a || dead[0].Blocks || !dead[1].Blocks || dead[1].Code != "C" || dead[1].Attempts != 3 || dead[1].Payload != "" {
				t.Errorf("dead letters = %+v, %v", dead, err)
			}
			dead, err = store.DeadLetters(t.Context(), &redrive.Request{EventIDs: []uuid.UUID{eventIDOf(t, pool, "dead_letters", b)}}, 0, 10, true)
			if err != nil || len(dead) != 1 || dead[0].ID != b || dead[0].Payload != `{"b": 1, "a":2}` || string(dead[0].Headers) != `{"k": "v"}` {
				t.Errorf("dead letter = %+v, %v", dead, err)
			}
			if dead, err = store.DeadLetters(t.Context(), &redrive.Request{Destination: "other"}, b, 10, false); err != nil || len(dead) != 0 {
				t.Errorf("dead letters behind the last = %+v, %v", dead, err)
			}
			if dead, err = store.DeadLetters(t.Context(), &redrive.Request{}, 0, 1, false); err != nil || len(dead) != 1 {
				t.Errorf("the first dead letter = %+v, %v", dead, err)
			}
			lanes, err := store.BlockedLanes(t.Context(), &redrive.Request{Destination: "other", AggregateType: "order", AggregateID: "b"}, 10, 100)
			if err != nil || len(lanes) != 1 || lanes[0].FirstID != b || lanes[0].Waiting != 1 || !lanes[0].DeadLetter || lanes[0].Reason != "R" || lanes[0].ReleasedAt != nil || lanes[0].AggregateID != "b" {
				t.Errorf("lanes = %+v, %v", lanes, err)
			}
			releaseBlocked(t, store, redrive.Request{})
			lanes, err = store.BlockedLanes(t.Context(), &redrive.Request{}, 10, 100)
			if err != nil || len(lanes) != 1 || lanes[0].DeadLetter || lanes[0].ReleasedAt == nil || lanes[0].Waiting != 2 {
				t.Errorf("released lanes = %+v, %v", lanes, err)
			}
			found, err := store.Lookup(t.Context(), eventIDOf(t, pool, "events", b))
			if err != nil || found.State != pgadmin.Blocked || len(found.Redrives) != 1 || found.Redrives[0].Source != "blocked" || found.Redrives[0].RequestID != "me" ||
				found.Redrives[0].Generation != 1 || found.Redrives[0].Reason != "R" || found.Redrives[0].RowID != b || found.Redrives[0].RedrivenAt.IsZero() {
				t.Errorf("location = %+v, %v", found, err)
			}
			settle(t, store, id, accept(b, held))
			replayed, _ := search(t, store, redrive.Request{IDFrom: b, IDTo: b}, 100)
			copyNext(t, store, replayed, 10)
			found, err = store.Lookup(t.Context(), eventIDOf(t, pool, "events", b))
			if err != nil || found.ReplayOf != b || found.State != pgadmin.Blocked && found.State != pgadmin.Pending || len(found.Others) != 1 || found.Others[0].ID != b ||
				found.Others[0].State != pgadmin.Sent || len(found.Redrives) != 2 || found.Redrives[1].CopyID != found.ID || found.Redrives[1].Generation != 2 {
				t.Errorf("location = %+v, %v", found, err)
			}
		})
	}
}

func TestFourRedrivesAtOncePutEachBackOnce(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(8))
	store := newStore(pool)
	id := join(t, store)
	var ids []int64
	for i := range 120 {
		ids = append(ids, insert(t, pool, fmt.Sprint(i%40)))
	}
	bury(t, store, id, false, ids...)
	var mu sync.Mutex
	counts := map[int64]int{}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for after := int64(0); ; {
				got, err := store.RedriveDeadLetters(t.Context(), rows.Batch{Request: &redrive.Request{Confirm: true}, After: after, Limit: 7})
				if err != nil {
					t.Errorf("redrive: %v", err)
					return
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, r := range got {
					switch r.Outcome {
					case rows.Redriven:
						counts[r.ID]++
					case rows.Gone:
					case rows.Released, rows.Unconfirmed, rows.Behind, rows.Archiving, rows.Refused:
						t.Errorf("event %d is %s", r.ID, r.Outcome)
					}
				}
				mu.Unlock()
				after = got[len(got)-1].ID
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		if counts[id] != 1 {
			t.Errorf("event %d was put back %d times", id, counts[id])
		}
	}
	if n := query[int](t, pool, "select count(*) from outbox.redrives"); n != len(ids) {
		t.Errorf("%d rows of history, want %d", n, len(ids))
	}
	if n := query[int](t, pool, "select (select count(*) from outbox.events where sent_at is null) - (select count(*) from outbox.dead_letters)"); n != len(ids) {
		t.Errorf("%d more events are pending than dead, want %d", n, len(ids))
	}
}

func TestRedriveRoleMayRedriveAndNotWrite(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	id := join(t, newStore(pool))
	a, b := insert(t, pool, "a"), insert(t, pool, "b")
	bury(t, newStore(pool), id, true, a, b)
	own := login(t, pool, "outbox_redrive")
	store := newStore(own)
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if _, err := store.Status(t.Context(), 10); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := store.Lookup(t.Context(), eventIDOf(t, pool, "dead_letters", b)); err != nil {
		t.Errorf("lookup: %v", err)
	}
	if got := redriveDead(t, store, redrive.Request{IDTo: a}); outcomes(got) != fmt.Sprintf("%d redriven ", a) {
		t.Errorf("redriven = %+v", got)
	}
	if got := releaseBlocked(t, store, redrive.Request{}); outcomes(got) != fmt.Sprintf("%d redriven ", b) {
		t.Errorf("released = %+v", got)
	}
	for _, sql := range []string{
		"insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', '1', 'placed', '{}')",
		"update outbox.blocked set released_at = now()",
		"delete from outbox.dead_letters",
		"delete from outbox.redrives",
		"select outbox.put_back(d, null, 'replay', '') from outbox.dead_letters d",
		"insert into outbox.replay_events values (1, 1, gen_random_uuid())",
	} {
		_, err := own.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			t.Errorf("%s: error = %v, want permission denied", sql, err)
		}
	}
}
