package dlq

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The defaults of Config.
const (
	DefaultReceivers   = 4
	DefaultGather      = 100
	DefaultVisibility  = time.Minute
	DefaultWait        = time.Second
	DefaultCallTimeout = 5 * time.Second
	DefaultAttempts    = 5
	DefaultRetryMin    = 100 * time.Millisecond
	DefaultRetryMax    = 2 * time.Second
	DefaultMaxHidden   = 20_000
	DefaultGrace       = 5 * time.Second
	DefaultReportEvery = 5 * time.Second
)

// Config is the configuration of an [Engine]. A field that is zero takes the default constant of its name; a
// negative one is an error, except Wait.
type Config struct {
	// Receivers is how many goroutines receive and send at the same time. A request with a rate below 100
	// messages a second has one.
	Receivers int
	// Gather is the most messages that one receiver takes from the dead-letter queue before it sends them. For a
	// request with a rate it takes no more than are sent in five seconds, and at least one.
	Gather int
	// Visibility is how long a receive hides messages, from 1 s to 1 h in whole seconds. Messages that take longer to
	// send are hidden anew. After a kill the messages that were being sent stay hidden for up to this time.
	Visibility time.Duration
	// Wait is how long a receive waits for messages, at most 20 s in whole seconds. A negative Wait is no wait.
	Wait time.Duration
	// CallTimeout is the longest time of one call of the queues, to which a receive adds Wait. It must be less
	// than a quarter of Visibility. The calls that show messages at the end of a run are bounded by Grace alone.
	CallTimeout time.Duration
	// Attempts is how many failed sends of one message stop its group, where one rejection is enough, and sends for
	// which the target was throttled or unavailable do not count. It is also how many receives that fail in a row, or
	// batches in a row that find the target unavailable, end the run, and how often a delete is tried.
	Attempts int
	// RetryMin is the pause after a first failure of a receive, a send or a delete. Each further failure doubles the
	// pause, up to RetryMax, which must not be less.
	RetryMin time.Duration
	RetryMax time.Duration
	// MaxHidden is the number of messages kept hidden at which a run ends, at most 100,000. SQS allows 120,000 messages
	// of a queue to be received and not deleted (SQS developer guide, quotas of FIFO queues).
	MaxHidden int
	// Grace is the longest time that a run takes, after its receivers have ended, to count what it has not seen
	// and to make the messages visible again that it kept hidden.
	Grace time.Duration
	// ReportEvery is the time between two log records of the progress.
	ReportEvery time.Duration
	// Logger logs the progress. When it is nil nothing is logged.
	Logger *slog.Logger
	// Recorder keeps a record of each run that is no dry run. When it is nil there is none, and the answer says so.
	// RequestID goes into the record.
	Recorder  Recorder
	RequestID string
}

// Engine redrives dead-letter queues. It is safe for concurrent use.
type Engine struct{ cfg Config }

// New returns an engine, with the default in every field of cfg that is zero. Its error names every fault of cfg.
func New(cfg Config) (*Engine, error) {
	cfg.Receivers = cmp.Or(cfg.Receivers, DefaultReceivers)
	cfg.Gather = cmp.Or(cfg.Gather, DefaultGather)
	cfg.Visibility = cmp.Or(cfg.Visibility, DefaultVisibility)
	cfg.Wait = max(0, cmp.Or(cfg.Wait, DefaultWait))
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, DefaultCallTimeout)
	cfg.Attempts = cmp.Or(cfg.Attempts, DefaultAttempts)
	cfg.RetryMin = cmp.Or(cfg.RetryMin, DefaultRetryMin)
	cfg.RetryMax = cmp.Or(cfg.RetryMax, DefaultRetryMax)
	cfg.MaxHidden = cmp.Or(cfg.MaxHidden, DefaultMaxHidden)
	cfg.Grace = cmp.Or(cfg.Grace, DefaultGrace)
	cfg.ReportEvery = cmp.Or(cfg.ReportEvery, DefaultReportEvery)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var faults []error
	for _, f := range [...]struct {
		name string
		ok   bool
		rule string
	}{
		{"Receivers", cfg.Receivers > 0, "is negative"},
		{"Gather", cfg.Gather > 0, "is negative"},
		{"Visibility", cfg.Visibility >= time.Second && cfg.Visibility <= time.Hour, "is not between 1 s and 1 h"},
		{"Wait", cfg.Wait <= 20*time.Second, "is more than 20 s"},
		{"CallTimeout", cfg.CallTimeout > 0 && cfg.CallTimeout < cfg.Visibility/4, "is not less than a quarter of Visibility"},
		{"Attempts", cfg.Attempts > 0, "is negative"},
		{"RetryMin", cfg.RetryMin > 0 && cfg.RetryMin <= cfg.RetryMax, "is not between 0 and RetryMax"},
		{"MaxHidden", cfg.MaxHidden > 0 && cfg.MaxHidden <= 100_000, "is not between 1 and 100,000"},
		{"Grace", cfg.Grace > 0, "is negative"},
		{"ReportEvery", cfg.ReportEvery > 0, "is negative"},
	} {
		if !f.ok {
			faults = append(faults, fmt.Errorf("%s: %s", f.name, f.rule))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("redrive config: %w", err)
	}
	return &Engine{cfg: cfg}, nil
}
