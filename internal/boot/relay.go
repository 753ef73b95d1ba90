package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/internal/telemetry"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// minMargin is the longest end of a run, and a second for the last spans and the
// function's answer.
const minMargin = relay.DefaultShutdownGrace + time.Second

// Relay is the configuration of the relay function. A field with the name of a field of
// [relay.Config] sets that one.
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

// Config returns the relay's configuration without its destinations, observer
// and logger.
func (r *Relay) Config() relay.Config {
	return relay.Config{
		Relays:      r.Relays,
		IdleExit:    r.IdleExit,
		Concurrency: r.Concurrency,
		WindowBytes: r.WindowBytes,
		PollIdle:    r.PollIdle,
		MaxAttempts: r.MaxAttempts,
	}
}

// Validate returns the faults that the type of a variable does not show.
func (r *Relay) Validate() []error {
	faults := append(r.Database.Validate(), r.Tracing.Validate()...)
	if r.Margin < minMargin {
		faults = append(faults, fmt.Errorf("OUTBOX_MARGIN: must be at least %v, is %v", minMargin, r.Margin))
	}
	// The sinks of the destinations are made by Open.
	engine := slices.DeleteFunc(named[Relay](r.Config().Validate()), func(err error) bool {
		f, ok := errors.AsType[*relay.FieldError](err)
		return ok && f.Field == "OUTBOX_DESTINATIONS"
	})
	return append(faults, engine...)
}

// RelayRuntime is what the relay function opens once and uses in every
// invocation. It is a [host.Environment].
type RelayRuntime struct {
	// Store is the outbox.
	Store relay.Store
	// Config has all but the Name, which belongs to one run.
	Config relay.Config

	traces *Traces // nil when nothing is traced
	aws    *AWS
	pool   *pgxpool.Pool
}

// RelayEnvironment is a [RelayRuntime], or one that a test has changed.
type RelayEnvironment = host.Environment[host.None, relay.Summary]

// RelayHost is what answers the invocations of the relay function.
type RelayHost = host.Host[host.None, relay.Summary]

// Host returns the relay function, whose environment open makes.
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

// Open connects to the database and makes the sinks. Its error says what to do.
// Metrics go to the writer.
func (r *Relay) Open(ctx context.Context, logger *slog.Logger, metrics io.Writer) (*RelayRuntime, error) {
	a, err := LoadAWS(ctx, r.Config().WithDefaults().Concurrency*max(1, len(r.Destinations)))
	if err != nil {
		return nil, err
	}
	cfg := r.Config()
	cfg.Logger = logger
	cfg.Observer = r.observer(metrics)
	if cfg.Destinations, err = a.Sinks(r.Destinations, r.SDKCodec); err != nil {
		return nil, err
	}
	pool, err := r.Connect(ctx, a.Config)
	if err != nil {
		return nil, err
	}
	store := pgstore.New(pool)
	if err := store.Check(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	a.Probe(ctx, r.Destinations, logger)
	spans := r.Tracing.Open(ctx, r.FunctionName, logger)
	spans.Wrap(cfg.Destinations, r.Destinations)
	return &RelayRuntime{Store: store, Config: cfg, traces: spans, aws: a, pool: pool}, nil
}

// observer writes the metrics that the alarms and dashboards of template.yaml
// read.
func (r *Relay) observer(w io.Writer) relay.Observer {
	return telemetry.NewEMF(w, r.MetricsNamespace, map[string]string{"FunctionName": r.FunctionName})
}

// Thaw drops the idle HTTP connections, which their other ends have closed by now. The
// pool pings a connection that was idle before it is used.
func (r *RelayRuntime) Thaw() { r.aws.HTTP.CloseIdleConnections() }

// Run carries events until the call's time, as a relay of its own.
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

// Close gives everything back.
func (r *RelayRuntime) Close() {
	r.traces.Close()
	r.pool.Close()
	r.aws.HTTP.CloseIdleConnections()
}
