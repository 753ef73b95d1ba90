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

// The defaults of [Config]. docs/design.md has the measurements behind them.
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
	DefaultFetchBytes    = 16 << 20
	DefaultSendBytes     = 16 << 20
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

// OnReject says what happens to a lane when one of its events is given up, because the event can never be
// published or has failed Config.MaxAttempts times.
type OnReject int

const (
	// Skip moves the event to the dead letters and goes on with the lane.
	Skip OnReject = iota
	// Block moves the event to the dead letters and blocks the lane until an operator releases it, so that order
	// is kept.
	Block
)

// Destination is one place that events are sent to.
type Destination struct {
	// Sink publishes the events of the destination. Required.
	Sink outbox.Sink
	// OnReject says what happens to the lane of an event that is given up. Defaults to Skip.
	OnReject OnReject
	// Encoder makes the messages of the destination. Defaults to what [outbox.Encode] makes.
	Encoder outbox.Encoder
}

// Config says how a relay runs. Only Destinations is required; a zero field takes the default that its comment
// names.
type Config struct {
	// RelayID identifies one run of a relay and is never used again. Defaults to a new UUIDv7.
	RelayID uuid.UUID
	// Name is the name of the run in status output, such as a Lambda request id. Defaults to RelayID.
	Name string
	// Destinations are the configured destinations by name. No two of them may send to one topic or queue: an aggregate
	// would have a lane for each, and no order between them. Events for any other destination stay in the table
	// and are counted. Required.
	Destinations map[string]Destination

	// Relays is how many relays share the shards, from 1 to [outbox.Shards]. Defaults to [DefaultRelays].
	Relays int
	// LeaseTTL is how long a lease lasts without a renewal. When a relay is killed, its shards have no owner
	// for up to this long, and then until another relay runs. At most one minute, to stay far below the
	// broker's deduplication window of five minutes. Defaults to [DefaultLeaseTTL].
	LeaseTTL time.Duration
	// RenewEvery is the time between renewals of the lease, at most half of LeaseTTL. A relay that lacks
	// shards, or has shards to give back, renews sooner. Defaults to [DefaultRenewEvery].
	RenewEvery time.Duration
	// JoinWindow decides whether a new relay joins: it ends at once, with the outcome Standby, when as many other
	// relays as Relays have a lease, are not leaving and mean to run for longer than JoinWindow. It should exceed two
	// periods of the schedule that starts relays, whose precision is a minute. Defaults to [DefaultJoinWindow].
	JoinWindow time.Duration

	// SendTimeout bounds one call to a sink, one renewal and one count of the backlog. A call to a sink starts only
	// while the lease lasts for longer. At most LeaseTTL less RenewEvery. Defaults to [DefaultSendTimeout].
	SendTimeout time.Duration
	// Concurrency is the most calls in flight to one destination. The number allowed adapts to the results of
	// calls, up to this. Defaults to [DefaultConcurrency].
	Concurrency int
	// Linger is how long a batch that is not full waits for more events while other calls to its destination are
	// in flight. Negative is not at all. Defaults to [DefaultLinger].
	Linger time.Duration

	// Window is about the most events that are buffered: the reads of one fetch can exceed it by up to
	// FetchLimit, and rows that committed late are buffered in any case. Half of it is
	// divided equally among the destinations; the other half is lent to those that have more to send, so that idle
	// destinations cost the busy ones little. Defaults to [DefaultWindow].
	Window int
	// WindowBytes is the most bytes of messages that are buffered. A fetch may exceed it by one event, and rows that
	// committed late by FetchBytes. Defaults to [DefaultWindowBytes].
	WindowBytes int
	// LaneWindow is the most buffered events of one lane, so that a hot aggregate cannot fill the window; only
	// rows that committed late may exceed it. Defaults to [DefaultLaneWindow].
	LaneWindow int
	// FetchLimit is the most rows that each read of a fetch brings. Defaults to [DefaultFetchLimit].
	FetchLimit int
	// FetchBytes is the most bytes of payloads and headers that one fetch brings; an event that is larger comes alone.
	// Defaults to [DefaultFetchBytes], or to a quarter of WindowBytes where that is less.
	FetchBytes int
	// SendBytes is the most bytes of messages in flight, whose requests are in memory beside them. Each destination has
	// a share of it, as of the window, and may exceed that by a batch. Defaults to [DefaultSendBytes], or to a quarter of
	// WindowBytes where that is less.
	SendBytes int
	// PollBusy is the pause between fetches while events come. Defaults to [DefaultPollBusy].
	PollBusy time.Duration
	// PollIdle is the longest pause between fetches while no events come: the pause grows to it from PollBusy.
	// Defaults to [DefaultPollIdle].
	PollIdle time.Duration

	// SettleEvery is how long events that were accepted or given up wait for others, to be settled in one
	// transaction. Defaults to [DefaultSettleEvery].
	SettleEvery time.Duration
	// SettleLimit is the number of events that wait to be settled at which they are settled without waiting
	// further. Defaults to [DefaultSettleLimit].
	SettleLimit int

	// RetryMin is the first back-off of a lane, of a destination that is unavailable, and of reading and
	// settling after an error of the store. Defaults to [DefaultRetryMin].
	RetryMin time.Duration
	// RetryMax is the longest back-off of a lane or a destination: each is twice the one before, up to this.
	// For reading and settling the longest is one second. Defaults to [DefaultRetryMax].
	RetryMax time.Duration
	// MaxAttempts is how many transient failures of its own an event may have: with the last of them it is
	// given up like a rejected one. A transient failure is its own when, since its last result, more other events
	// that were sent for the first time were accepted than failed; of the first failure, when that is so in the same
	// call. So an event that fails alone at its destination is never given up for that. Throttles, unknown outcomes and
	// failures of the whole destination are not counted. Negative is without a bound. Defaults to
	// [DefaultMaxAttempts].
	MaxAttempts int

	// SweepEvery is the least pause between two sweeps: readings of every unsent row up to the highest id read,
	// for rows that appear there out of turn. Negative is never. Defaults to [DefaultSweepEvery].
	SweepEvery time.Duration

	// IdleExit ends the run, with the outcome Idle, when no row was read for this long, no event is buffered, no
	// lane and no destination has deferred rows, no lane is being released, and no gap and no catch-up is open. Zero is never.
	IdleExit time.Duration
	// ShutdownGrace is how long settling is tried again when the run ends, and also a bound of each single
	// settlement. After that, giving the shards back and the last count of the backlog together have as much
	// time again. Defaults to [DefaultShutdownGrace].
	ShutdownGrace time.Duration

	// ReportEvery is the time between reports to Observer, besides the one at the end of the run. Defaults to
	// [DefaultReportEvery].
	ReportEvery time.Duration
	// Observer receives the reports. With nil there are none, and the backlog is counted only when the run ends.
	Observer Observer
	// Logger receives what an operator should know. Defaults to slog.Default().
	Logger *slog.Logger

	// spread returns the random part of a back-off, from 0 to 1. Defaults to rand.Float64.
	spread func() float64
	// examine is the most unsent rows that one backfill or search looks at. Defaults to backfillExamine.
	examine int
	// gapIDs is the most ids of gaps that every fetch reads. Defaults to maxGapIDs.
	gapIDs int64
	// watchLanes, when set by a test, is called at each change of a lane's state with the old and the new one.
	watchLanes func(was, is laneState)
}

// Observer receives the periodic reports of a relay: counts since the last one, and its state.
type Observer interface {
	// Observe is called from the relay's own goroutine, every Config.ReportEvery and once at the end of the
	// run. The relay waits for it, so it must not block; it must not keep r.
	Observe(r *Report)
}

// WithDefaults returns c with the default in every field that is zero. Each call makes a new RelayID where
// there is none.
func (c Config) WithDefaults() Config {
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
	c.FetchBytes = cmp.Or(c.FetchBytes, max(1, min(DefaultFetchBytes, c.WindowBytes/4)))
	c.SendBytes = cmp.Or(c.SendBytes, max(1, min(DefaultSendBytes, c.WindowBytes/4)))
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
	c.gapIDs = cmp.Or(c.gapIDs, maxGapIDs)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.spread == nil {
		c.spread = rand.Float64
	}
	return c
}

// FieldError is a fault of one field of a [Config].
type FieldError struct {
	// Field is the name of the field, such as LeaseTTL.
	Field string
	// Problem says what is wrong with its value and what to change.
	Problem string
}

// Error returns the field and the problem, in this form: "Relays: must be 1 to 64, is 65".
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Validate returns every fault of c at once, joined, each a [*FieldError], and nil when there is none. Zero
// fields count as their defaults.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var faults []error
	bad := func(field, format string, args ...any) {
		faults = append(faults, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if len(c.Destinations) == 0 {
		bad("Destinations", "none is named: name at least one")
	}
	for name, d := range c.Destinations {
		if d.Sink == nil {
			bad("Destinations", "%q has no Sink: set one", name)
		}
		if err := d.Encoder.Validate(); err != nil {
			bad("Destinations", "%q: HeaderAttributes: %v", name, err)
		}
	}
	if c.Relays < 1 || c.Relays > outbox.Shards {
		bad("Relays", "must be 1 to %d, is %d", outbox.Shards, c.Relays)
	}
	if c.RenewEvery > c.LeaseTTL/2 {
		bad("RenewEvery", "must be at most half of LeaseTTL (%v), is %v", c.LeaseTTL, c.RenewEvery)
	}
	if c.LeaseTTL > time.Minute {
		bad("LeaseTTL", "must be at most 1m, to stay far below the broker's deduplication window, is %v", c.LeaseTTL)
	}
	if c.SendTimeout > c.LeaseTTL-c.RenewEvery {
		bad("SendTimeout", "must be at most LeaseTTL (%v) less RenewEvery (%v), is %v", c.LeaseTTL, c.RenewEvery, c.SendTimeout)
	}
	for _, f := range []struct {
		name   string
		value  any
		above0 bool
	}{
		{"JoinWindow", c.JoinWindow, c.JoinWindow > 0},
		{"SendTimeout", c.SendTimeout, c.SendTimeout > 0},
		{"RenewEvery", c.RenewEvery, c.RenewEvery > 0},
		{"PollBusy", c.PollBusy, c.PollBusy > 0},
		{"PollIdle", c.PollIdle, c.PollIdle > 0},
		{"SettleEvery", c.SettleEvery, c.SettleEvery > 0},
		{"RetryMin", c.RetryMin, c.RetryMin > 0},
		{"RetryMax", c.RetryMax, c.RetryMax > 0},
		{"ShutdownGrace", c.ShutdownGrace, c.ShutdownGrace > 0},
		{"ReportEvery", c.ReportEvery, c.ReportEvery > 0},
		{"Concurrency", c.Concurrency, c.Concurrency > 0},
		{"Window", c.Window, c.Window > 0},
		{"WindowBytes", c.WindowBytes, c.WindowBytes > 0},
		{"LaneWindow", c.LaneWindow, c.LaneWindow > 0},
		{"FetchLimit", c.FetchLimit, c.FetchLimit > 0},
		{"FetchBytes", c.FetchBytes, c.FetchBytes > 0},
		{"SendBytes", c.SendBytes, c.SendBytes > 0},
		{"SettleLimit", c.SettleLimit, c.SettleLimit > 0},
	} {
		if !f.above0 {
			bad(f.name, "must be above 0, is %v", f.value)
		}
	}
	if c.IdleExit < 0 {
		bad("IdleExit", "must not be negative, is %v", c.IdleExit)
	}
	return errors.Join(faults...)
}
