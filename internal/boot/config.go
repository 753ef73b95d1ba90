package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Process is what Lambda tells every function about itself, and how to log.
type Process struct {
	LogLevel       LogLevel `env:"OUTBOX_LOG_LEVEL" help:"DEBUG, INFO, WARN or ERROR. Defaults to AWS_LAMBDA_LOG_LEVEL, and to INFO without it. Above INFO, Lambda drops the metrics too"`
	LambdaLogLevel LogLevel `env:"AWS_LAMBDA_LOG_LEVEL" help:"Set by Lambda from the function's ApplicationLogLevel"`
	FunctionName   string   `env:"AWS_LAMBDA_FUNCTION_NAME" envDefault:"local" help:"Set by Lambda. A dimension of every metric"`
	MemoryMB       int      `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE" envDefault:"0" help:"Set by Lambda. Where GOGC and GOMEMLIMIT are not set, the heap grows to five times what is live, and to four fifths of it at most"`
	GOGC           string   `env:"GOGC" help:"Read by Go. When set, the collector is left alone"`
	GOMEMLIMIT     string   `env:"GOMEMLIMIT" help:"Read by Go. When set, the collector is left alone"`
}

// Database says where the outbox is and how to log in.
type Database struct {
	URL            string        `env:"OUTBOX_DATABASE_URL" help:"PostgreSQL connection string, such as postgres://relay:password@host:5432/app. Leave the password out with iam or a secret. Required, unless the secret names the host"`
	Auth           DatabaseAuth  `env:"OUTBOX_DATABASE_AUTH" envDefault:"password" help:"password, or iam to log in with an RDS IAM token: the user needs the role rds_iam, the function rds-db:connect"`
	TLS            DatabaseTLS   `env:"OUTBOX_DATABASE_TLS" envDefault:"verify-full" help:"verify-full connects to another host only over TLS and checks its certificate and its name. url leaves it to the sslmode of OUTBOX_DATABASE_URL, whose default is prefer: an attacker in between can then read everything"`
	CA             string        `env:"OUTBOX_DATABASE_CA" help:"File of the authorities that may sign the database's certificate, in PEM form, such as one in a layer below /opt. Defaults to those of the system and of RDS"`
	SecretARN      string        `env:"OUTBOX_DATABASE_SECRET_ARN" help:"ARN of a Secrets Manager secret with username and password, and with host, port and dbname unless OUTBOX_DATABASE_URL is set"`
	SecretTTL      time.Duration `env:"OUTBOX_DATABASE_SECRET_TTL" envDefault:"5m" help:"How long the secret is kept. A refused password drops it at once"`
	MaxConns       int           `env:"OUTBOX_DATABASE_MAX_CONNS" envDefault:"4" help:"The most connections of one function instance"`
	ConnectTimeout time.Duration `env:"OUTBOX_DATABASE_CONNECT_TIMEOUT" envDefault:"5s" help:"The longest attempt to connect"`
	ExecMode       ExecMode      `env:"OUTBOX_EXEC_MODE" envDefault:"cache_describe" help:"How statements are sent: cache_describe leaves no named statement behind, exec also keeps no descriptions, cache_statement is for direct connections only"`
}

// Relay is the configuration of the relay function.
type Relay struct {
	Process
	Database
	Tracing

	Destinations Destinations `env:"OUTBOX_DESTINATIONS,required" help:"JSON object from the name of a destination to its ARN, such as {\"default\":\"arn:aws:sns:eu-west-1:123456789012:orders.fifo\"}, or to an object with arn (a FIFO topic or queue, or a queue URL), on_reject (skip or block) and max_message_bytes"`

	Margin   time.Duration `env:"OUTBOX_MARGIN" envDefault:"8s" help:"Kept before the function's timeout for ending calls, settling and handing over. It must exceed OUTBOX_SHUTDOWN_GRACE by a second"`
	Relays   int           `env:"OUTBOX_RELAYS" envDefault:"1" help:"How many relays share the shards"`
	IdleExit time.Duration `env:"OUTBOX_IDLE_EXIT" envDefault:"0s" help:"End the run when nothing came for this long. 0s is never"`

	LeaseTTL      time.Duration `env:"OUTBOX_LEASE_TTL" envDefault:"6s" help:"How long the shards of a killed relay stay without a holder, at most"`
	RenewEvery    time.Duration `env:"OUTBOX_RENEW_EVERY" envDefault:"1s" help:"Time between renewals of the lease"`
	JoinWindow    time.Duration `env:"OUTBOX_JOIN_WINDOW" envDefault:"125s" help:"A new relay leaves at once when enough others will run for longer than this. It should exceed two periods of the schedule"`
	SendTimeout   time.Duration `env:"OUTBOX_SEND_TIMEOUT" envDefault:"2s" help:"The longest call to a destination"`
	Concurrency   int           `env:"OUTBOX_CONCURRENCY" envDefault:"128" help:"The most calls in flight to one destination. The number in use adapts below it"`
	Linger        time.Duration `env:"OUTBOX_LINGER" envDefault:"2ms" help:"How long a batch that is not full waits for more events while other calls to its destination are in flight. -1s is not at all"`
	Window        int           `env:"OUTBOX_WINDOW" envDefault:"20000" help:"The most events in memory"`
	WindowBytes   int           `env:"OUTBOX_WINDOW_BYTES" envDefault:"67108864" help:"The most bytes of events in memory"`
	LaneWindow    int           `env:"OUTBOX_LANE_WINDOW" envDefault:"100" help:"The most events of one aggregate and destination in memory"`
	FetchLimit    int           `env:"OUTBOX_FETCH_LIMIT" envDefault:"2000" help:"The most rows of one fetch"`
	PollBusy      time.Duration `env:"OUTBOX_POLL_BUSY" envDefault:"4ms" help:"Pause between fetches while events come"`
	PollIdle      time.Duration `env:"OUTBOX_POLL_IDLE" envDefault:"10ms" help:"Pause between fetches while none come"`
	SettleEvery   time.Duration `env:"OUTBOX_SETTLE_EVERY" envDefault:"20ms" help:"How long accepted events wait to be marked together"`
	SettleLimit   int           `env:"OUTBOX_SETTLE_LIMIT" envDefault:"500" help:"The most events marked together"`
	RetryMin      time.Duration `env:"OUTBOX_RETRY_MIN" envDefault:"50ms" help:"First back-off of an aggregate or a destination"`
	RetryMax      time.Duration `env:"OUTBOX_RETRY_MAX" envDefault:"10s" help:"Longest back-off of an aggregate or a destination"`
	MaxAttempts   int           `env:"OUTBOX_MAX_ATTEMPTS" envDefault:"20" help:"Transient failures of its own before an event is a dead letter. -1 is never"`
	SweepEvery    time.Duration `env:"OUTBOX_SWEEP_EVERY" envDefault:"10s" help:"Least time between two readings of everything unsent behind the position. -1s is never"`
	ShutdownGrace time.Duration `env:"OUTBOX_SHUTDOWN_GRACE" envDefault:"5s" help:"The longest time for settling and leaving after the end of a run"`
	ReportEvery   time.Duration `env:"OUTBOX_REPORT_EVERY" envDefault:"10s" help:"Time between lines of metrics"`

	MetricsNamespace string `env:"OUTBOX_METRICS_NAMESPACE" envDefault:"ServerlessOutbox" help:"CloudWatch namespace of the metrics"`
	SDKCodec         bool   `env:"OUTBOX_SDK_CODEC" envDefault:"false" help:"Have the AWS SDK write and read the requests to destinations, at two to four times the cost. For ruling out the relay's own writing and reading"`
	Checksums        bool   `env:"OUTBOX_CHECKSUMS" envDefault:"true" help:"Compare the MD5 that SQS answers with each body"`
}

// Config returns the relay's configuration without its destinations, observer
// and logger.
func (r *Relay) Config() relay.Config {
	return relay.Config{
		Relays:        r.Relays,
		LeaseTTL:      r.LeaseTTL,
		RenewEvery:    r.RenewEvery,
		JoinWindow:    r.JoinWindow,
		SendTimeout:   r.SendTimeout,
		Concurrency:   r.Concurrency,
		Linger:        r.Linger,
		Window:        r.Window,
		WindowBytes:   r.WindowBytes,
		LaneWindow:    r.LaneWindow,
		FetchLimit:    r.FetchLimit,
		PollBusy:      r.PollBusy,
		PollIdle:      r.PollIdle,
		SettleEvery:   r.SettleEvery,
		SettleLimit:   r.SettleLimit,
		RetryMin:      r.RetryMin,
		RetryMax:      r.RetryMax,
		MaxAttempts:   r.MaxAttempts,
		SweepEvery:    r.SweepEvery,
		IdleExit:      r.IdleExit,
		ShutdownGrace: r.ShutdownGrace,
		ReportEvery:   r.ReportEvery,
	}
}

// Validate returns the faults that the type of a variable does not show. The
// rest is checked by relay.New.
func (r *Relay) Validate() []error {
	faults := append(r.Database.Validate(), r.Tracing.Validate()...)
	if r.Margin < r.ShutdownGrace+time.Second {
		faults = append(faults, fmt.Errorf("OUTBOX_MARGIN: %v is not a second more than OUTBOX_SHUTDOWN_GRACE (%v)", r.Margin, r.ShutdownGrace))
	}
	if r.Concurrency < 1 {
		faults = append(faults, fmt.Errorf("OUTBOX_CONCURRENCY: %d is not above 0", r.Concurrency))
	}
	return faults
}

// Validate returns what is wrong with the ways to log in.
func (d *Database) Validate() []error {
	var faults []error
	if d.URL == "" && d.SecretARN == "" {
		faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: is not set: set it to: %s", help[Database]("OUTBOX_DATABASE_URL")))
	}
	if d.MaxConns < 1 {
		faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_MAX_CONNS: %d is not above 0", d.MaxConns))
	}
	var config *pgx.ConnConfig
	if d.URL != "" {
		secured, err := d.secured(d.URL)
		if err != nil {
			faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: %w", err))
		} else if config, err = pgx.ParseConfig(secured); err != nil {
			faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: %w", errConnectionString))
		}
	}
	if d.Auth == AuthIAM {
		if d.URL == "" || d.SecretARN != "" {
			faults = append(faults, errors.New("OUTBOX_DATABASE_AUTH: iam takes host and user from OUTBOX_DATABASE_URL and no OUTBOX_DATABASE_SECRET_ARN"))
		}
		if config != nil && (config.TLSConfig == nil || hasPlain(config)) {
			faults = append(faults, errors.New("OUTBOX_DATABASE_URL: an IAM token goes over TLS only: leave OUTBOX_DATABASE_TLS at verify-full"))
		}
	}
	return faults
}

func hasPlain(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.TLSConfig == nil {
			return true
		}
	}
	return false
}

func help[C any](name string) string {
	for _, v := range Variables[C]() {
		if v.Name == name {
			return v.Help
		}
	}
	return ""
}

// DatabaseAuth is a way to log in.
type DatabaseAuth string

// The ways to log in.
const (
	AuthPassword DatabaseAuth = "password"
	AuthIAM      DatabaseAuth = "iam"
)

// UnmarshalText implements [encoding.TextUnmarshaler].
func (a *DatabaseAuth) UnmarshalText(text []byte) error {
	switch v := DatabaseAuth(text); v {
	case AuthPassword, AuthIAM:
		*a = v
		return nil
	}
	return fmt.Errorf("%q is not a way to log in", text)
}

// ExecMode is how pgx sends statements.
type ExecMode pgx.QueryExecMode

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *ExecMode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "cache_statement":
		*m = ExecMode(pgx.QueryExecModeCacheStatement)
	case "cache_describe":
		*m = ExecMode(pgx.QueryExecModeCacheDescribe)
	case "exec":
		*m = ExecMode(pgx.QueryExecModeExec)
	default:
		return fmt.Errorf("%q is not a mode", text)
	}
	return nil
}

// LogLevel is a level of Lambda's or slog's naming. The zero value is not set.
type LogLevel struct {
	slog.Level
	set bool
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *LogLevel) UnmarshalText(text []byte) error {
	l.set = true
	switch strings.ToUpper(string(text)) {
	case "TRACE", "DEBUG":
		l.Level = slog.LevelDebug
	case "INFO":
		l.Level = slog.LevelInfo
	case "WARN":
		l.Level = slog.LevelWarn
	case "ERROR", "FATAL":
		l.Level = slog.LevelError
	default:
		return fmt.Errorf("%q is not a level", text)
	}
	return nil
}
