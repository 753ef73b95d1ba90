package boot

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/telemetry"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// RelayRuntime is what the relay function makes once and uses in every
// invocation.
type RelayRuntime struct {
	// Store is the outbox.
	Store relay.Store
	// Config has all but RelayID and Name, which belong to one run.
	Config relay.Config

	// Traces are the spans of what is published, nil when none are wanted.
	Traces *Traces

	aws  *AWS
	pool *pgxpool.Pool
}

// Open connects to the database and makes the sinks. Its error says what to do.
// Metrics go to the writer.
func (r *Relay) Open(ctx context.Context, logger *slog.Logger, metrics io.Writer) (*RelayRuntime, error) {
	a, err := LoadAWS(ctx, r.Concurrency*max(1, len(r.Destinations)))
	if err != nil {
		return nil, err
	}
	cfg := r.Config()
	cfg.Logger = logger
	cfg.Observer = r.observer(metrics)
	if cfg.Destinations, err = a.Sinks(r.Destinations, r.Checksums, r.SDKCodec); err != nil {
		return nil, err
	}
	// A trial, so that wrong settings are named before anything is done.
	if _, err = relay.New(nil, cfg); err != nil {
		return nil, fmt.Errorf("%w (each is the variable OUTBOX_ and its name, such as OUTBOX_LEASE_TTL for LeaseTTL)", err)
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
	traces := r.Tracing.Open(ctx, r.FunctionName, logger)
	traces.Wrap(cfg.Destinations, r.Destinations)
	return &RelayRuntime{Store: store, Config: cfg, Traces: traces, aws: a, pool: pool}, nil
}

// observer writes the metrics that the alarms and dashboards of template.yaml
// read.
func (r *Relay) observer(w io.Writer) relay.Observer {
	return telemetry.NewEMF(w, r.MetricsNamespace, map[string]string{"FunctionName": r.FunctionName})
}

// Thaw makes ready for use after the environment may have been frozen: the
// other ends have closed the idle connections. The pool finds out by itself,
// because it pings what was idle.
func (r *RelayRuntime) Thaw() { r.aws.HTTP.CloseIdleConnections() }

// Close gives everything back.
func (r *RelayRuntime) Close() {
	r.Traces.Close()
	r.pool.Close()
	r.aws.HTTP.CloseIdleConnections()
}
