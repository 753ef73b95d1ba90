package boot

import (
	"fmt"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Defaults of settings that are no engine's.
const (
	// DefaultMargin is the time kept before the relay function's timeout: up to [relay.DefaultShutdownGrace] for the
	// events in flight, and the rest to give the shards back and to send the last spans.
	DefaultMargin = 8 * time.Second
	// DefaultNamespace is the CloudWatch namespace of the metrics.
	DefaultNamespace = "ServerlessOutbox"
	// DefaultOTLPTimeoutMS is the longest time of one request that sends spans, in milliseconds.
	DefaultOTLPTimeoutMS int32 = 2000
	// DefaultFunctionName is the name of the function outside Lambda.
	DefaultFunctionName = "local"
)

// entry is the default of a variable, nil for none, and the meaning: what to set the variable to and what it does.
type entry struct {
	value   any
	meaning string
}

// meanings returns the default and the meaning of every variable that the functions read, by its name. Errors,
// docs/configuration.md and docs/redrive.md have the same text.
func meanings() map[string]entry {
	return map[string]entry{
		"OUTBOX_LOG_LEVEL": {nil, "DEBUG, INFO, WARN or ERROR. Defaults to AWS_LAMBDA_LOG_LEVEL, and to INFO without it. " +
			"Above INFO, Lambda drops the metrics too"},
		"AWS_LAMBDA_LOG_LEVEL":     {nil, "Set by Lambda from the function's ApplicationLogLevel"},
		"AWS_LAMBDA_FUNCTION_NAME": {DefaultFunctionName, "Set by Lambda. A dimension of every metric"},
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": {nil, "Set by Lambda; elsewhere the limit of the memory cgroup stands for it. Where GOGC " +
			"and GOMEMLIMIT are not set, the heap grows to five times what is live, and to four fifths of it at most, less where it is below 160 MB"},
		"GOGC":       {nil, "Read by Go. When set, the collector is left alone"},
		"GOMEMLIMIT": {nil, "Read by Go. When set, the collector is left alone, and the window of the relay follows it"},

		"OUTBOX_DATABASE_URL": {nil, "PostgreSQL connection string, such as postgres://relay:password@host:5432/app. " +
			"Leave the password out with iam or a secret. Required, unless the secret names the host"},
		"OUTBOX_DATABASE_AUTH": {AuthPassword, "password, or iam to log in with an RDS IAM token: the user needs the role rds_iam, " +
			"the function rds-db:connect"},
		"OUTBOX_DATABASE_TLS": {TLSVerifyFull, "verify-full connects to another host only over TLS and checks its certificate and its name. " +
			"url leaves it to the sslmode of OUTBOX_DATABASE_URL, whose default is prefer: " +
			"an attacker in between can then read everything"},
		"OUTBOX_DATABASE_CA": {nil, "File of the authorities that may sign the database's certificate, in PEM form, " +
			"such as one in a layer below /opt. Defaults to those of the system and of RDS"},
		"OUTBOX_DATABASE_SECRET_ARN": {nil, "ARN of a Secrets Manager secret with username and password, and with host, port and dbname " +
			"unless OUTBOX_DATABASE_URL is set. It is read again after five minutes, and when a password is refused"},

		"OTEL_EXPORTER_OTLP_ENDPOINT": {nil, "Where spans are sent over OTLP/HTTP, such as http://localhost:4318 of a collector's layer. " +
			"Without an endpoint nothing is traced"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": {nil, "The same for traces only, as a whole URL such as http://localhost:4318/v1/traces"},
		"OTEL_EXPORTER_OTLP_HEADERS":         {nil, "Headers for the receiver, such as api-key=secret,tenant=1"},
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS":  {nil, "The same for traces only"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":         {DefaultOTLPTimeoutMS, "The longest request to the receiver, in milliseconds"},
		"OTEL_EXPORTER_OTLP_PROTOCOL": {nil, "Spans are sent as http/json. http/protobuf means the same receiver, which takes both; " +
			"grpc is not spoken"},
		"OTEL_TRACES_EXPORTER": {"otlp", "otlp, or none to trace nothing"},
		"OTEL_SDK_DISABLED":    {false, "true to trace nothing"},

		"OUTBOX_DESTINATIONS": {nil, "JSON object from the name of a destination to its ARN, such as " +
			`{"default":"arn:aws:sns:eu-west-1:123456789012:orders.fifo"}` +
			", or to an object with arn (a FIFO topic or queue, or a queue URL), on_reject (skip or block), max_message_bytes and header_attributes"},
		"OUTBOX_MARGIN": {DefaultMargin, fmt.Sprintf("Kept before the function's timeout for ending calls, settling and handing over. "+
			"At least %s", text(minMargin))},
		"OUTBOX_RELAYS":      {relay.DefaultRelays, "How many relays share the shards"},
		"OUTBOX_IDLE_EXIT":   {time.Duration(0), "End the run when nothing came for this long. 0s is never"},
		"OUTBOX_CONCURRENCY": {relay.DefaultConcurrency, "The most calls in flight to one destination. The number in use adapts below it"},
		"OUTBOX_WINDOW_BYTES": {nil, fmt.Sprintf("The most bytes of events in memory. Without it a third of what Go may use beyond 40 MiB, "+
			"%d at most: the rest is for what is read and in flight", relay.DefaultWindowBytes)},
		"OUTBOX_POLL_IDLE": {relay.DefaultPollIdle, "Pause between reads of the table while no events come. " +
			"A longer one costs the database less and delays events by as much"},
		"OUTBOX_MAX_ATTEMPTS": {relay.DefaultMaxAttempts, "Transient failures of its own, while others of its destination are accepted, " +
			"before an event is a dead letter. -1 is without a bound"},
		"OUTBOX_SDK_CODEC": {false, "Have the AWS SDK write and read the requests to destinations, at two to four times the cost. " +
			"For ruling out the relay's own writing and reading"},
		"OUTBOX_METRICS_NAMESPACE": {DefaultNamespace, "CloudWatch namespace of the metrics"},

		"OUTBOX_RETENTION": {janitor.DefaultRetention, "How long an event stays in outbox.events after it was sent. " +
			"Then it goes to outbox.archive"},
		"OUTBOX_KEEP_PARTITIONS": {janitor.DefaultKeepPartitions, "How many full partitions, of a million ids each, stay in outbox.events " +
			"for OUTBOX_RETENTION. Those before them are archived as soon as all their events were sent"},
		"OUTBOX_ARCHIVE_RETENTION": {time.Duration(0), "How long an event stays in outbox.archive after it was sent, " +
			"such as 2160h for 90 days. 0s is for ever"},
		"OUTBOX_DEAD_LETTER_RETENTION": {time.Duration(0), "How long dead letters are kept. They were never delivered. " +
			"One that an aggregate is blocked behind stays until the aggregate is released. 0s is for ever"},
		"OUTBOX_EXPORT_BUCKET": {nil, "S3 bucket for what OUTBOX_ARCHIVE_RETENTION removes. Nothing is removed before its file " +
			"was stored and verified. Without a bucket rows are removed without a copy"},
		"OUTBOX_EXPORT_PREFIX": {nil, "Begins the keys of the files, such as outbox/orders"},
		"OUTBOX_AHEAD": {janitor.DefaultAhead, fmt.Sprintf("How many partitions are ready above the one in use, at least, and %d at most. "+
			"Raise it where more events than they hold come between two runs of the janitor", janitor.DefaultMaxAhead)},
		"OUTBOX_ALARM_AGE": {janitor.DefaultAlarmAge, "The age at which an unsent event is counted as stale"},

		"OUTBOX_REDRIVE_QUEUE": {nil, "The dead-letter queue of requests that name none: URL, ARN or name"},
	}
}

// text returns a default in the form that the value of a variable has, such as 24h for a duration, and "" for nil.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case time.Duration: // 24h, where String has 24h0m0s
		short := v.String()
		if strings.HasSuffix(short, "m0s") {
			short = strings.TrimSuffix(short, "0s")
		}
		if strings.HasSuffix(short, "h0m") {
			short = strings.TrimSuffix(short, "0m")
		}
		return short
	}
	return fmt.Sprint(value)
}
