package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor/s3export"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/telemetry"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// janitorConnections is how many calls the janitor makes to one host at once.
const janitorConnections = 4

// Janitor is the configuration of the janitor function.
type Janitor struct {
	Process
	Database

	Margin time.Duration `env:"OUTBOX_MARGIN" envDefault:"5s" help:"Kept before the function's timeout. At least 1s"`

	Retention      time.Duration `env:"OUTBOX_RETENTION" envDefault:"24h" help:"How long an event stays in outbox.events after it was sent. Then it goes to outbox.archive"`
	KeepPartitions int           `env:"OUTBOX_KEEP_PARTITIONS" envDefault:"32" help:"How many full partitions, of a million ids each, stay in outbox.events for OUTBOX_RETENTION. Those before them are archived as soon as all their events were sent"`
	MoveLimit      int           `env:"OUTBOX_MOVE_LIMIT" envDefault:"1000" help:"The most rows of one statement that moves rows"`

	ArchiveRetention    time.Duration `env:"OUTBOX_ARCHIVE_RETENTION" envDefault:"0s" help:"How long an event stays in outbox.archive after it was sent, such as 2160h for 90 days. 0s is for ever"`
	DeadLetterRetention time.Duration `env:"OUTBOX_DEAD_LETTER_RETENTION" envDefault:"0s" help:"How long dead letters are kept. They were never delivered. 0s is for ever"`

	ExportBucket string `env:"OUTBOX_EXPORT_BUCKET" help:"S3 bucket for what OUTBOX_ARCHIVE_RETENTION removes. Nothing is removed before its file was stored and verified. Without it, it is removed without a copy"`
	ExportPrefix string `env:"OUTBOX_EXPORT_PREFIX" help:"Begins the keys of the files, such as outbox/orders"`
	ExportRows   int    `env:"OUTBOX_EXPORT_ROWS" envDefault:"50000" help:"The most rows of one file"`
	ExportBytes  int    `env:"OUTBOX_EXPORT_BYTES" envDefault:"16777216" help:"About the most bytes of one file, compressed. It is made in memory"`

	Ahead    int           `env:"OUTBOX_AHEAD" envDefault:"3" help:"How many partitions are ready above the one in use, at least"`
	AheadFor time.Duration `env:"OUTBOX_AHEAD_FOR" envDefault:"24h" help:"For how long the partitions ahead should last at the highest rate of late"`
	MaxAhead int           `env:"OUTBOX_MAX_AHEAD" envDefault:"32" help:"The most partitions ahead. Each costs every read of new events a little"`

	AlarmAge     time.Duration `env:"OUTBOX_ALARM_AGE" envDefault:"5m" help:"The age at which an unsent event is counted as stale"`
	LockAttempts int           `env:"OUTBOX_LOCK_ATTEMPTS" envDefault:"5" help:"How often a lock that others hold is asked for in one run. Each attempt holds writers and relays up for at most 50 ms"`

	MetricsNamespace string `env:"OUTBOX_METRICS_NAMESPACE" envDefault:"ServerlessOutbox" help:"CloudWatch namespace of the metrics"`
}

// Config returns the janitor's configuration without its target, observer and
// logger.
func (j *Janitor) Config() janitor.Config {
	return janitor.Config{
		Ahead:               j.Ahead,
		AheadFor:            j.AheadFor,
		MaxAhead:            j.MaxAhead,
		Retention:           j.Retention,
		KeepPartitions:      j.KeepPartitions,
		MoveLimit:           j.MoveLimit,
		ArchiveRetention:    j.ArchiveRetention,
		Prefix:              j.ExportPrefix,
		ExportRows:          j.ExportRows,
		ExportBytes:         j.ExportBytes,
		DeadLetterRetention: j.DeadLetterRetention,
		AlarmAge:            j.AlarmAge,
		Attempts:            j.LockAttempts,
	}
}

// Validate returns the faults that the type of a variable does not show. The
// rest is checked by janitor.New.
func (j *Janitor) Validate() []error {
	faults := j.Database.Validate()
	if j.Margin < time.Second {
		faults = append(faults, fmt.Errorf("OUTBOX_MARGIN: must be at least 1s, is %v", j.Margin))
	}
	if j.ExportBucket != "" && j.ArchiveRetention == 0 {
		faults = append(faults, errors.New("OUTBOX_EXPORT_BUCKET: is for what OUTBOX_ARCHIVE_RETENTION removes, which is nothing: set OUTBOX_ARCHIVE_RETENTION"))
	}
	if j.ExportBucket == "" && j.ExportPrefix != "" {
		faults = append(faults, errors.New("OUTBOX_EXPORT_PREFIX: is for OUTBOX_EXPORT_BUCKET, which is not set"))
	}
	return faults
}

// JanitorRuntime is what the janitor function makes once and uses in every
// invocation.
type JanitorRuntime struct {
	*janitor.Janitor

	aws  *AWS
	pool *pgxpool.Pool
}

// Open connects to the database and makes the janitor. Its error says what to
// do. Metrics go to the writer.
func (j *Janitor) Open(ctx context.Context, logger *slog.Logger, metrics io.Writer) (*JanitorRuntime, error) {
	a, err := LoadAWS(ctx, janitorConnections)
	if err != nil {
		return nil, err
	}
	cfg := j.Config()
	cfg.Logger = logger
	cfg.Observer = j.observer(metrics)
	if j.ExportBucket != "" {
		cfg.Target = s3export.New(s3.NewFromConfig(a.Config), j.ExportBucket)
	}
	// A trial, so that wrong settings are named before anything is done.
	if _, err = janitor.New(nil, cfg); err != nil {
		return nil, fmt.Errorf("%w (each is the variable OUTBOX_ and its name, such as OUTBOX_AHEAD_FOR for AheadFor)", err)
	}
	pool, err := j.Connect(ctx, a.Config)
	if err != nil {
		return nil, err
	}
	if err = pgstore.New(pool).Check(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	made, err := janitor.New(pgadmin.New(pool), cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &JanitorRuntime{Janitor: made, aws: a, pool: pool}, nil
}

// observer writes the metrics that the alarms and dashboards of template.yaml
// read.
func (j *Janitor) observer(w io.Writer) janitor.Observer {
	return telemetry.NewEMF(w, j.MetricsNamespace, map[string]string{"FunctionName": j.FunctionName})
}

// Thaw makes ready for use after the environment may have been frozen: the
// other ends have closed the idle connections. The pool finds out by itself,
// because it pings what was idle.
func (j *JanitorRuntime) Thaw() { j.aws.HTTP.CloseIdleConnections() }

// Close gives everything back.
func (j *JanitorRuntime) Close() {
	j.pool.Close()
	j.aws.HTTP.CloseIdleConnections()
}
