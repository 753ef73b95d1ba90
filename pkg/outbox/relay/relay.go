package relay

import (
	"context"
	"fmt"
	"time"
)

// Store is all that a relay needs of the database. All its methods may be called concurrently.
type Store interface {
	Leases
	Reader
	Settler
}

// Relay carries events from a store to destinations. Make one for each run: its id, which fences what it does,
// must never be used twice, so call Run once.
type Relay struct {
	store Store
	cfg   Config
}

// New returns a relay that runs as cfg says, with defaults for zero fields. It makes no call to the store. It errs
// when cfg is faulty, and the error wraps that of [Config.Validate].
func New(store Store, cfg Config) (*Relay, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("relay config: %w", err)
	}
	return &Relay{store: store, cfg: cfg.WithDefaults()}, nil
}

// Run carries events until the time until, or until ctx ends, other relays take over, or no event came for
// Config.IdleExit. Then it awaits and settles the events in flight and gives its shards back, also when ctx was
// canceled: that takes up to twice Config.ShutdownGrace, and longer only when calls under way do. When it returns,
// all calls that it started have ended.
//
// It returns at once, with the outcome Standby, when enough other relays run. An error means that the relay could not
// do its work: it could not join, or every renewal of its lease or every fetch failed, and then the summary says what
// it did. A run that fails so for half a minute ends, with the outcome Failed. A canceled run returns no error. Other
// failures of the store and the sinks are counted, logged, and tried again.
func (r *Relay) Run(ctx context.Context, until time.Time) (Summary, error) {
	started := time.Now()
	joining, cancel := context.WithTimeout(ctx, max(r.cfg.LeaseTTL, r.cfg.SendTimeout))
	defer cancel()
	admitted, err := r.store.Join(joining, Join{
		RelayID:    r.cfg.RelayID,
		Name:       r.cfg.Name,
		TTL:        r.cfg.LeaseTTL,
		RunFor:     time.Until(until),
		JoinWindow: r.cfg.JoinWindow,
		Relays:     r.cfg.Relays,
	})
	if err != nil {
		return Summary{}, fmt.Errorf("join: %w", err)
	}
	if !admitted {
		return Summary{Outcome: Standby, RelayID: r.cfg.RelayID.String(), Seconds: time.Since(started).Seconds()}, nil
	}
	l := newLoop(ctx, r.store, r.cfg, until)
	l.run(ctx)
	return l.summary(started), l.trial.error(l.outcome)
}
