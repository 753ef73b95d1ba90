// Package history judges what an outbox did from a record of what happened.
//
// While a test, the demo or a benchmark runs, a [Recorder] records what the writers
// committed and rolled back, which faults were injected, what the broker accepted and
// what consumers received. Once nothing moves any more, the final state of every row is
// recorded, and [Recorder.Check] returns a [Verdict]: whether anything was lost,
// reordered, sent twice without a cause, marked wrongly or made up. For the first faults
// of each kind it has a witness: a line that says what happened, and the events.
//
//	rec := history.New()
//	// writers:   began := time.Now(); tx.Commit(ctx); rec.Committed(history.Commit{Began: began, Done: time.Now()}, events...)
//	// the fake:  rec.Accepted(history.Acceptance{...})
//	// at rest:   rec.Final(history.Final{...}) for every row
//	if v := rec.Check(history.Config{}); !v.OK() {
//		t.Fatal(v)
//	}
//
// # What counts as out of order
//
// Two events a and b of one lane, a with the smaller row id, are out of order
// when b was first accepted before a and either
//
//   - a was visible before the transaction of b began to commit, or
//   - a had been visible for longer than [Config.ReadAhead] when b was accepted.
//
// A row that commits later than a row with a greater id is no fault by itself: a relay
// that has read the greater id already cannot know of it. Hence ReadAhead. An event that
// was first accepted in a replay is not judged, nor is a dead letter that was accepted:
// its lane may have gone on without it. An event that is blocked counts as not yet
// accepted.
//
// # What counts as a duplicate with a cause
//
// A second send of one event under one deduplication id, whether the broker suppressed
// it or not, needs a [Cause] of its own: an unknown outcome of that event, or a relay
// that ended between the two sends. A cause explains one resend of an event, not two. An
// event that has a cause of its own for every send may also be accepted and end as a
// dead letter or blocked, since its relay could not know of the acceptance.
package history
