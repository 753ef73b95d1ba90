package relay

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Defaults of Config. The measurements behind them are in docs/design.md.
const (
	DefaultRelays        = 1
	DefaultLeaseTTL      = 6 * time.Second
	DefaultRenewEvery    = time.Second
	DefaultJoinWindow    = 125 * time.Second
	DefaultSendTimeout   = 2 * time.Second
	DefaultWindow        = 20_000
	DefaultWindowBytes   = 64 << 20
	DefaultLaneWindow    = 100
	DefaultFetchLimit    = 2_000
	DefaultConcurrency   = 128
	DefaultLinger        = 2 * time.Millisecond
	DefaultPollBusy      = 4 * time.Millisecond
	DefaultPollIdle      = 10 * time.Millisecond
	DefaultSettleEvery   = 20 * time.Millisecond
	DefaultSettleLimit   = 500
	DefaultRetryMin      = 50 * time.Millisecond
	DefaultRetryMax      = 10 * time.Second
	DefaultMaxAttempts   = 20
	DefaultReportEvery   = 10 * time.Second
	DefaultSweepEvery    = 10 * time.Second
	DefaultShutdownGrace = 5 * time.Second
)

// OnReject says what happens to a lane when one of its events can never be
// published.
type OnReject int

const (
	// Skip moves the event to the dead letters and goes on with the lane: the
	// gap is recorded there.
	Skip OnReject = iota
	// Block moves the event to the dead letters and blocks the lane until an
	// operator releases it, so that order is kept.
	Block
)

// Destination is where events of one name go.
type Destination struct {
	Sink     outbox.Sink
	OnReject OnReject
}

// Config says how a relay runs. Zero fields take the default named in their
// comment.
type Config struct {
	// RelayID identifies this run of a relay. It must never have been used
	// before. Defaults to a new UUIDv7.
	RelayID uuid.UUID
	// Name is shown in status output, such as the Lambda request id. Defaults
	// to the relay id.
	Name string
	// Destinations by name. An event for any other destination waits and is
	// counted. Required.
	Destinations map[string]Destination

	// Relays is how many relays share the shards. Defaults to 1.
	Relays int
	// LeaseTTL is how long a lease lasts without a renewal: the longest time
	// that the shards of a killed relay stay without an owner. It must be far
	// below the broker's deduplication window of five minutes. Defaults to 6 s.
	LeaseTTL time.Duration
	// RenewEvery is the time between renewals. Defaults to 1 s.
	RenewEvery time.Duration
	// JoinWindow: a newcomer leaves at once when enough relays will still be
	// running for longer than this. It should exceed two periods of the
	// schedule, whose precision is a minute. Defaults to 125 s.
	JoinWindow time.Duration

	// SendTimeout bounds one call to a sink. A call starts only while the lease
	// lasts for longer. Defaults to 2 s.
	SendTimeout time.Duration
	// Concurrency is the most calls in flight to one destination. The number in
	// use adapts below it. Defaults to 128.
	Concurrency int
	// Linger is how long a batch that is not full waits for more events while
	// other calls to its destination are in flight. Negative is not at all.
	// Defaults to 2 ms.
	Linger time.Duration

	// Window and WindowBytes bound the events buffered in memory. Default to
	// 20,000 and 64 MiB.
	Window      int
	WindowBytes int
	// LaneWindow bounds the events of one lane in memory, so that a hot
	// aggregate cannot fill the window. Defaults to 100.
	LaneWindow int
	// FetchLimit is the most rows of one fetch. Defaults to 2,000.
	FetchLimit int
	// PollBusy and PollIdle are the pauses between fetches while events come
	// and while none come. Default to 4 ms and 10 ms.
	PollBusy time.Duration
	PollIdle time.Duration

	// SettleEvery and SettleLimit bound how long and how many accepted events
	// wait to be marked together. Default to 20 ms and 500.
	SettleEvery time.Duration
	SettleLimit int

	// RetryMin and RetryMax bound the back-off of a lane, and of a destination
	// that is unavailable. Default to 50 ms and 10 s.
	RetryMin time.Duration
	RetryMax time.Duration
	// MaxAttempts is how many transient failures of its own an event may have
	// before it counts as rejected. Throttles, unknown outcomes and failures of
	// the whole destination are not counted. Defaults to 20; negative is never.
	MaxAttempts int

	// SweepEvery is the least time between two sweeps: readings of every unsent
	// row behind the position, for events that appear there out of turn. Negative
	// is never. Defaults to 10 s.
	SweepEvery time.Duration

	// IdleExit ends the run when no event came for this long and none is
	// buffered. Defaults to 0, which is never.
	IdleExit time.Duration
	// ShutdownGrace bounds the settling and leaving after the end of the run.
	// Defaults to 5 s.
	ShutdownGrace time.Duration

	// ReportEvery is the time between reports to Observer. Defaults to 10 s.
	ReportEvery time.Duration
	// Observer receives the reports. Defaults to none.
	Observer Observer
	// Logger receives what a person should know. Defaults to slog.Default().
	Logger *slog.Logger

	// spread spreads back-offs, from 0 to 1. Defaults to rand.Float64.
	spread func() float64
	// examine bounds the rows that one backfill looks at. Defaults to
	// backfillExamine.
	examine int
	// watchLanes, for tests, is called with each change of a lane's state.
	watchLanes func(from, to laneState)
}

// Observer receives what a relay did.
type Observer interface {
	// Observe is called from the relay's own goroutine, every ReportEvery and
	// once at the end. It must not block and not keep r.
	Observe(r *Report)
}

func (c Config) withDefaults() Config {
	if c.RelayID == uuid.Nil {
		c.RelayID = uuid.Must(uuid.NewV7())
	}
	c.Name = cmp.Or(c.Name, c.RelayID.String())
	c.Relays = cmp.Or(c.Relays, DefaultRelays)
	c.LeaseTTL = cmp.Or(c.LeaseTTL, DefaultLeaseTTL)
	c.RenewEvery = cmp.Or(c.RenewEvery, DefaultRenewEvery)
	c.JoinWindow = cmp.Or(c.JoinWindow, DefaultJoinWindow)
	c.SendTimeout = cmp.Or(c.SendTimeout, DefaultSendTimeout)
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.Linger = cmp.Or(c.Linger, DefaultLinger)
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.WindowBytes = cmp.Or(c.WindowBytes, DefaultWindowBytes)
	c.LaneWindow = cmp.Or(c.LaneWindow, DefaultLaneWindow)
	c.FetchLimit = cmp.Or(c.FetchLimit, DefaultFetchLimit)
	c.PollBusy = cmp.Or(c.PollBusy, DefaultPollBusy)
	c.PollIdle = cmp.Or(c.PollIdle, DefaultPollIdle)
	c.SettleEvery = cmp.Or(c.SettleEvery, DefaultSettleEvery)
	c.SettleLimit = cmp.Or(c.SettleLimit, DefaultSettleLimit)
	c.RetryMin = cmp.Or(c.RetryMin, DefaultRetryMin)
	c.RetryMax = cmp.Or(c.RetryMax, DefaultRetryMax)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, DefaultMaxAttempts)
	c.ShutdownGrace = cmp.Or(c.ShutdownGrace, DefaultShutdownGrace)
	c.SweepEvery = cmp.Or(c.SweepEvery, DefaultSweepEvery)
	c.ReportEvery = cmp.Or(c.ReportEvery, DefaultReportEvery)
	c.examine = cmp.Or(c.examine, backfillExamine)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.spread == nil {
		c.spread = rand.Float64
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.Destinations) == 0 {
		bad("Destinations: name at least one")
	}
	for name, d := range c.Destinations {
		if d.Sink == nil {
			bad("Destinations[%q]: Sink is nil", name)
		}
	}
	if c.Relays < 1 || c.Relays > outbox.Shards {
		bad("Relays: %d is not between 1 and %d", c.Relays, outbox.Shards)
	}
	if c.RenewEvery > c.LeaseTTL/2 {
		bad("RenewEvery: %v is more than half of LeaseTTL (%v)", c.RenewEvery, c.LeaseTTL)
	}
	if c.LeaseTTL > time.Minute {
		bad("LeaseTTL: %v is above one minute, too near the broker's deduplication window", c.LeaseTTL)
	}
	if c.SendTimeout > c.LeaseTTL-c.RenewEvery {
		bad("SendTimeout: %v and RenewEvery (%v) do not fit into LeaseTTL (%v)", c.SendTimeout, c.RenewEvery, c.LeaseTTL)
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"JoinWindow", int64(c.JoinWindow)},
		{"SendTimeout", int64(c.SendTimeout)},
		{"RenewEvery", int64(c.RenewEvery)},
		{"Concurrency", int64(c.Concurrency)},
		{"Window", int64(c.Window)},
		{"WindowBytes", int64(c.WindowBytes)},
		{"LaneWindow", int64(c.LaneWindow)},
		{"FetchLimit", int64(c.FetchLimit)},
		{"PollBusy", int64(c.PollBusy)},
		{"PollIdle", int64(c.PollIdle)},
		{"SettleEvery", int64(c.SettleEvery)},
		{"SettleLimit", int64(c.SettleLimit)},
		{"RetryMin", int64(c.RetryMin)},
		{"RetryMax", int64(c.RetryMax)},
		{"ShutdownGrace", int64(c.ShutdownGrace)},
		{"ReportEvery", int64(c.ReportEvery)},
	} {
		if f.value <= 0 {
			bad("%s: must be above 0", f.name)
		}
	}
	if c.IdleExit < 0 {
		bad("IdleExit: must not be negative")
	}
	return errors.Join(faults...)
}
