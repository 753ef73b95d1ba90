package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// DeadQueue is a FIFO dead-letter queue. Its methods may be called
// concurrently.
type DeadQueue interface {
	// Receive returns messages and hides them, those of one group in their
	// order. The queue returns nothing of a group that has a hidden message.
	Receive(ctx context.Context, in Receive) ([]Dead, error)
	// Delete removes messages by their receipts, at most 10. The result has an
	// error for each, at the same index, nil when the message is gone. A
	// receipt whose time has passed is an error.
	Delete(ctx context.Context, receipts []string) []error
	// Hide sets how long messages stay hidden, counted from now, by their
	// receipts, at most 10; zero shows them at once. Results are as for Delete.
	Hide(ctx context.Context, receipts []string, d time.Duration) []error
}

// Receive asks for messages.
type Receive struct {
	// Attempt is another one for every receive. A receive that repeats one whose
	// answer was lost returns the same messages.
	Attempt string
	// Max is the most messages, from 1 to 10.
	Max int
	// Hide is how long they are hidden, counted from the start of the call or
	// later. Whole seconds.
	Hide time.Duration
	// Wait is how long to wait for the first one. Whole seconds.
	Wait time.Duration
}

// Gauge tells how much is in a queue.
type Gauge interface {
	// Depth returns about how many messages there are.
	Depth(ctx context.Context) (Depth, error)
}

// Depth is the number of messages in a queue.
type Depth struct {
	// Visible are those that are not hidden themselves. They may stand behind
	// hidden ones of their group.
	Visible int
	// Hidden are those that somebody received and did not delete.
	Hidden int
}

// Target is the queue that messages go back to.
type Target interface {
	// Send sends msgs as one batch, each of another group, and returns one
	// result per message, at the same index, as [outbox.Sink] does. It may be
	// called concurrently.
	Send(ctx context.Context, msgs []Message) []outbox.Result
	// Limits returns what one batch may hold. It is constant.
	Limits() outbox.Limits
}

// Route is where messages come from and go to.
type Route struct {
	Queue  DeadQueue
	Target Target
	// Gauge may be nil; then the answer does not know what was not seen.
	Gauge Gauge
	// QueueName and TargetName are named in the answer.
	QueueName  string
	TargetName string
	// FailedARN is the queue that failed, when the target was found by it. A
	// message that failed at another one is refused. Empty lets all pass.
	FailedARN string
	// Subscriptions have the dead-letter queue for their own, when the target
	// was found by them: messages go back in the form that they deliver.
	Subscriptions []Subscription
	// Notes go into the answer.
	Notes []string
}

// Config sets a [Queues] up. The zero value is ready to use.
type Config struct {
	// Receivers is how many receive and send at the same time. Defaults to 4.
	Receivers int
	// Hand is the most messages that one receiver holds while it sends them.
	// Defaults to 100.
	Hand int
	// Visibility is how long received messages are hidden; it is renewed for
	// slow work, and is how long the messages of a killed run stay hidden.
	// Whole seconds. Defaults to 60 s.
	Visibility time.Duration
	// Wait is how long a receive waits for messages, in whole seconds. Less
	// than zero is no wait. Defaults to 1 s.
	Wait time.Duration
	// CallTimeout is the longest call. Defaults to 5 s; it must be less than a
	// quarter of Visibility.
	CallTimeout time.Duration
	// Attempts is how often a message is sent that is not accepted for now,
	// before its group stops. Defaults to 5.
	Attempts int
	// RetryMin and RetryMax bound the pause before the next attempt. Default to
	// 100 ms and 2 s.
	RetryMin time.Duration
	RetryMax time.Duration
	// MaxHeld is the most messages held back at the same time, because they do
	// not match or stand behind a failure. SQS has at most 120,000 in flight
	// (SQS developer guide, quotas of FIFO queues). Defaults to 20,000.
	MaxHeld int
	// Grace is the longest time for letting go of messages after the end of a
	// run. Defaults to 5 s.
	Grace time.Duration
	// ReportEvery is the time between lines of progress. Defaults to 5 s.
	ReportEvery time.Duration
	// Logger gets the progress. Defaults to none.
	Logger *slog.Logger
}

// Queues redrives dead-letter queues. It is safe for concurrent use.
type Queues struct{ cfg Config }

// NewQueues returns an engine. It names every fault of cfg at once.
func NewQueues(cfg Config) (*Queues, error) {
	cfg.Receivers = cmp.Or(cfg.Receivers, 4)
	cfg.Hand = cmp.Or(cfg.Hand, 100)
	cfg.Visibility = cmp.Or(cfg.Visibility, time.Minute)
	cfg.Wait = max(0, cmp.Or(cfg.Wait, time.Second))
	cfg.CallTimeout = cmp.Or(cfg.CallTimeout, 5*time.Second)
	cfg.Attempts = cmp.Or(cfg.Attempts, 5)
	cfg.RetryMin = cmp.Or(cfg.RetryMin, 100*time.Millisecond)
	cfg.RetryMax = cmp.Or(cfg.RetryMax, 2*time.Second)
	cfg.MaxHeld = cmp.Or(cfg.MaxHeld, 20_000)
	cfg.Grace = cmp.Or(cfg.Grace, 5*time.Second)
	cfg.ReportEvery = cmp.Or(cfg.ReportEvery, 5*time.Second)
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
		{"Hand", cfg.Hand > 0, "is negative"},
		{"Visibility", cfg.Visibility >= time.Second && cfg.Visibility <= time.Hour, "is not between 1 s and 1 h"},
		{"Wait", cfg.Wait <= 20*time.Second, "is more than 20 s"},
		{"CallTimeout", cfg.CallTimeout > 0 && cfg.CallTimeout < cfg.Visibility/4, "is not less than a quarter of Visibility"},
		{"Attempts", cfg.Attempts > 0, "is negative"},
		{"RetryMin", cfg.RetryMin > 0 && cfg.RetryMin <= cfg.RetryMax, "is not between 0 and RetryMax"},
		{"MaxHeld", cfg.MaxHeld > 0 && cfg.MaxHeld <= 100_000, "is not between 1 and 100,000"},
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
	return &Queues{cfg: cfg}, nil
}
