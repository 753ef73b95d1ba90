package relay

import (
	"fmt"
	"time"
)

// failAfter is how long a run goes on in which every renewal, or every fetch, fails from the first one on. It is
// shorter than the minute from one run of a schedule to the next, so that runs which cannot work end with an error in
// every minute, and each begins with new connections.
const failAfter = 30 * time.Second

// trial says whether a run has shown that it can do its work: a renewal has succeeded, and then a fetch. From the
// first success of one on, later errors of it are only counted.
type trial struct {
	renewing, reading attempts
}

// attempts are the calls of one kind up to the first that succeeds.
type attempts struct {
	succeeded bool
	// since is when the first call failed, err the newest error; both are zero without an error.
	since time.Time
	err   error
}

// note takes in the result err of a call, which came at the time now.
func (a *attempts) note(err error, now time.Time) {
	if a.succeeded {
		return
	}
	if a.succeeded, a.err = err == nil, err; err != nil && a.since.IsZero() {
		a.since = now
	}
}

// hopeless says whether all calls have failed for failAfter.
func (a *attempts) hopeless(now time.Time) bool { return a.err != nil && now.Sub(a.since) >= failAfter }

// hopeless says whether all renewals, or all fetches, have failed for failAfter.
func (t *trial) hopeless(now time.Time) bool {
	return t.renewing.hopeless(now) || t.reading.hopeless(now)
}

// error returns why a run with the outcome could not do its work: the newest error of its renewals or of its fetches,
// when all of them failed. It is nil for a canceled run, and for one that had no shard to read.
func (t *trial) error(outcome Outcome) error {
	switch {
	case outcome == Canceled:
		return nil
	case t.renewing.err != nil:
		return fmt.Errorf("no renewal of the lease succeeded: %w", t.renewing.err)
	case t.reading.err != nil:
		return fmt.Errorf("no event could be read: %w", t.reading.err)
	}
	return nil
}
