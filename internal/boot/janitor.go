package boot

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor/s3export"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

const (
	// janitorConnections is how many AWS calls the janitor may have in flight to one host.
	janitorConnections = 4
	// janitorMargin is the time kept before the janitor function's timeout, for a statement that is under way
	// and for the report.
	janitorMargin = 5 * time.Second
)

// Janitor is the configuration of the janitor function. Retention, KeepPartitions, ArchiveRetention,
// DeadLetterRetention, Ahead and AlarmAge are the fields of the same names of [janitor.Config]. ExportBucket is
// the S3 bucket, and ExportPrefix the beginning of the keys, for rows that ArchiveRetention removes; an empty
// bucket keeps no copy.
type Janitor struct {
	Process
	Database

	Retention      time.Duration `env:"OUTBOX_RETENTION"`
	KeepPartitions int           `env:"OUTBOX_KEEP_PARTITIONS"`

	ArchiveRetention    time.Duration `env:"OUTBOX_ARCHIVE_RETENTION"`
	DeadLetterRetention time.Duration `env:"OUTBOX_DEAD_LETTER_RETENTION"`

	ExportBucket string `env:"OUTBOX_EXPORT_BUCKET"`
	ExportPrefix string `env:"OUTBOX_EXPORT_PREFIX"`

	Ahead    int           `env:"OUTBOX_AHEAD"`
	AlarmAge time.Duration `env:"OUTBOX_ALARM_AGE"`

	MetricsNamespace string `env:"OUTBOX_METRICS_NAMESPACE"`
}

// Config returns the engine's configuration without Target, Observer and Logger, which Open sets.
func (j *Janitor) Config() janitor.Config {
	return janitor.Config{
		Ahead:               j.Ahead,
		Retention:           j.Retention,
		KeepPartitions:      j.KeepPartitions,
		ArchiveRetention:    j.ArchiveRetention,
		Prefix:              j.ExportPrefix,
		DeadLetterRetention: j.DeadLetterRetention,
		AlarmAge:            j.AlarmAge,
	}
}

// Validate returns the faults of the database, of the export and of the engine's configuration, each with its variable.
func (j *Janitor) Validate() []error {
	faults := j.Database.Validate()
	if j.ExportBucket != "" && j.ArchiveRetention == 0 {
		faults = append(faults, errors.New("OUTBOX_EXPORT_BUCKET: is for what OUTBOX_ARCHIVE_RETENTION removes, which is nothing: set OUTBOX_ARCHIVE_RETENTION"))
	}
	if j.ExportBucket == "" && j.ExportPrefix != "" {
		faults = append(faults, errors.New("OUTBOX_EXPORT_PREFIX: is for OUTBOX_EXPORT_BUCKET, which is not set"))
	}
	return append(faults, named[Janitor](j.Config().Validate())...)
}

// JanitorRuntime is what the janitor function opens once and uses in every invocation: its engine, AWS clients and
// pool. It is a [host.Environment].
type JanitorRuntime struct {
	connections

	janitor *janitor.Janitor
}

// JanitorEnvironment is the [host.Environment] of the janitor function: a [JanitorRuntime], except in tests.
type JanitorEnvironment = host.Environment[host.None, janitor.Report]

// JanitorHost answers the invocations of the janitor function.
type JanitorHost = host.Host[host.None, janitor.Report]

// Host returns the host that answers the invocations of the janitor function. It calls open where no environment
// is open: in the first invocation, and in the one after a failure.
func (j *Janitor) Host(logger *slog.Logger, open func(context.Context) (JanitorEnvironment, error)) *JanitorHost {
	return host.New(host.Config[host.None, janitor.Report]{
		Name: "janitor", Logger: logger, Margin: janitorMargin, Open: open,
		Attrs: func(r janitor.Report) []slog.Attr {
			return []slog.Attr{
				slog.Int64("partitions_made", r.Made),
				slog.Int64("partitions_archived", r.Archived),
				slog.Int64("rows_moved", r.Moved),
				slog.Int64("archive_partitions_dropped", r.Expired),
				slog.Int64("rows_exported", r.FileRows),
				slog.Float64("locked_seconds", r.LockedSeconds),
				slog.Int("findings", len(r.Findings)),
				slog.Bool("more", r.More),
				slog.Float64("seconds", r.Seconds),
			}
		},
	})
}

// Open connects to the database, checks its schema, and makes the janitor, which writes its metrics to the writer
// metrics, one line for each run. Errors of the configuration and the database say what to change. The caller
// closes the runtime.
func (j *Janitor) Open(ctx context.Context, logger *slog.Logger, metrics io.Writer) (*JanitorRuntime, error) {
	a, err := LoadAWS(ctx, janitorConnections)
	if err != nil {
		return nil, err
	}
	cfg := j.Config()
	cfg.Logger = logger
	cfg.Observer = j.metrics(metrics, j.MetricsNamespace)
	if j.ExportBucket != "" {
		cfg.Target = s3export.New(s3.NewFromConfig(a.Config), j.ExportBucket)
	}
	pool, err := j.Connect(ctx, a.Config)
	if err != nil {
		return nil, err
	}
	made, err := janitor.New(pgadmin.New(pool), cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &JanitorRuntime{connections: connections{aws: a, pool: pool}, janitor: made}, nil
}

// Run does the janitor's steps, and ends at call.Until or soon after. Its error joins the errors of the steps
// that failed; the report is complete then too.
func (j *JanitorRuntime) Run(ctx context.Context, call host.Call[host.None]) (janitor.Report, error) {
	return j.janitor.Run(ctx, call.Until)
}
