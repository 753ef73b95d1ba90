package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// minMargin is the least OUTBOX_MARGIN: the grace for the events in flight, and a second to give the shards back, for
// the last spans and for the function's answer.
const minMargin = relay.DefaultShutdownGrace + time.Second

// Relay is the configuration of the relay function. Relays, IdleExit, Concurrency, WindowBytes, PollIdle and
// MaxAttempts are the fields of the same names of [relay.Config]; without WindowBytes the window follows the memory. Margin is the time kept before the function's
// timeout for the end of a run. With SDKCodec the AWS SDK writes and reads the requests to destinations.
type Relay struct {
	Process
	Database
	Tracing

	Destinations Destinations `env:"OUTBOX_DESTINATIONS,required"`

	Margin   time.Duration `env:"OUTBOX_MARGIN"`
	Relays   int           `env:"OUTBOX_RELAYS"`
	IdleExit time.Duration `env:"OUTBOX_IDLE_EXIT"`

	Concurrency int           `env:"OUTBOX_CONCURRENCY"`
	WindowBytes int           `env:"OUTBOX_WINDOW_BYTES"`
	PollIdle    time.Duration `env:"OUTBOX_POLL_IDLE"`
	MaxAttempts int           `env:"OUTBOX_MAX_ATTEMPTS"`

	MetricsNamespace string `env:"OUTBOX_METRICS_NAMESPACE"`
	SDKCodec         bool   `env:"OUTBOX_SDK_CODEC"`
}

// Config returns the engine's configuration without Destinations, Observer and Logger, which Open sets, and without
// Name, which Run sets.
func (r *Relay) Config() relay.Config {
	return relay.Config{
		Relays:      r.Relays,
		IdleExit:    r.IdleExit,
		Concurrency: r.Concurrency,
		WindowBytes: cmp.Or(r.WindowBytes, windowBytes(r.heapLimit(os.DirFS("/")))),
		PollIdle:    r.PollIdle,
		MaxAttempts: r.MaxAttempts,
	}
}

// Validate returns the faults of the database, of tracing, of the margin and of the engine's configuration, each with
// the name of its variable. It does not look at Destinations, whose faults are found when the variable is parsed.
func (r *Relay) Validate() []error {
	faults := append(r.Database.Validate(), r.Tracing.Validate()...)
	if r.Margin < minMargin {
		faults = append(faults, fmt.Errorf("OUTBOX_MARGIN: must be at least %v, is %v", minMargin, r.Margin))
	}
	// The engine misses Destinations here, because Open makes their sinks.
	engine := slices.DeleteFunc(named[Relay](r.Config().Validate()), func(err error) bool {
		f, ok := errors.AsType[*relay.FieldError](err)
		return ok && f.Field == "OUTBOX_DESTINATIONS"
	})
	return append(faults, engine...)
}

// RelayRuntime is what the relay function opens once and uses in every invocation: its sinks, AWS clients and pool.
// It is a [host.Environment].
type RelayRuntime struct {
	connections

	// Store is the outbox in the database.
	Store relay.Store
	// Config is the engine's configuration without the Name, which Run sets to the id of the invocation.
	Config relay.Config

	traces *Traces // nil when nothing is traced
}

// RelayEnvironment is the [host.Environment] of the relay function: its Run takes no request and returns the summary
// of the relay's run. [RelayRuntime] implements it; tests and benchmarks may wrap or replace it.
type RelayEnvironment = host.Environment[host.None, relay.Summary]

// RelayHost answers the invocations of the relay function.
type RelayHost = host.Host[host.None, relay.Summary]

// Host returns the host that answers the invocations of the relay function. It calls open where no environment is
// open: in Prepare or the first invocation, and in the one after a failure.
func (r *Relay) Host(logger *slog.Logger, open func(context.Context) (RelayEnvironment, error)) *RelayHost {
	return host.New(host.Config[host.None, relay.Summary]{
		Name: "relay", Logger: logger, Margin: r.Margin, MarginVariable: "OUTBOX_MARGIN", Open: open,
		Attrs: func(s relay.Summary) []slog.Attr {
			return []slog.Attr{
				slog.String("outcome", string(s.Outcome)),
				slog.Int64("published", s.Published),
				slog.Int64("settled", s.Settled),
				slog.Int64("dead_letters", s.DeadLetters),
				slog.Float64("seconds", s.Seconds),
			}
		},
	})
}

// Open makes the sinks, connects to the database, checks its schema, and probes the destinations; a probe that
// fails is logged and is no error. Metrics go to the writer metrics. The caller closes the runtime. Errors of the
// configuration and the database say what to change.
func (r *Relay) Open(ctx context.Context, logger *slog.Logger, metrics io.Writer) (*RelayRuntime, error) {
	a, err := LoadAWS(ctx, r.Config().WithDefaults().Concurrency*max(1, len(r.Destinations)))
	if err != nil {
		return nil, err
	}
	cfg := r.Config()
	cfg.Logger = logger
	cfg.Observer = r.metrics(metrics, r.MetricsNamespace)
	if cfg.Destinations, err = a.Sinks(r.Destinations, r.SDKCodec); err != nil {
		return nil, err
	}
	pool, err := r.Connect(ctx, a.Config)
	if err != nil {
		return nil, err
	}
	a.Probe(ctx, r.Destinations, logger)
	spans := r.Tracing.Open(ctx, r.FunctionName, logger)
	spans.Wrap(cfg.Destinations, r.Destinations)
	return &RelayRuntime{connections: connections{aws: a, pool: pool}, Store: pgstore.New(pool), Config: cfg, traces: spans}, nil
}

// Run carries events with a new relay, named by the id of the invocation, until call.Until, or until it has been
// idle for IdleExit (zero is never) or ends for another reason of [relay.Relay.Run]. The end of the run takes up to
// twice Config.ShutdownGrace more, and longer only when calls under way do.
func (r *RelayRuntime) Run(ctx context.Context, call host.Call[host.None]) (relay.Summary, error) {
	cfg := r.Config
	cfg.Name = call.RequestID
	carrier, err := relay.New(r.Store, cfg)
	if err != nil {
		return relay.Summary{}, err
	}
	r.traces.Begin(ctx)
	defer r.traces.End(ctx)
	return carrier.Run(ctx, call.Until)
}

// Close shuts tracing down, and closes the pool and the idle HTTP connections.
func (r *RelayRuntime) Close() {
	r.traces.Close()
	r.connections.Close()
}
