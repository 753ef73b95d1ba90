package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/consumer"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/service"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed pending.sql
var pendingSQL string

//go:embed aggregates.sql
var aggregatesSQL string

// demo is one run of the demo.
type demo struct {
	cfg       config
	live      *live
	stack     *stack
	journal   *journal
	service   *service.Service
	progress  service.Progress
	fleet     *fleet
	ledger    rig.Ledger
	consumers []*consumer.Consumer
}

// run makes one run of the demo, with progress on out, and returns its report. It fails when the run could not be made
// or took longer than cfg.timeout, not when the checker found a fault. It ends everything that it started.
func run(ctx context.Context, cfg config, out *os.File) (_ *report, err error) {
	d := &demo{cfg: cfg, live: newLive(out), journal: newJournal()}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.timeout, fmt.Errorf("not done after %s", cfg.timeout))
	defer cancel()
	deliveries, err := d.prepare(ctx)
	if d.stack != nil {
		defer func() { err = errors.Join(err, d.stack.close()) }()
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	r, err := d.play(ctx, deliveries)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return r, nil
}

// prepare builds the relay, opens d.stack, and makes the service, the fleet and the consumers, which do not run yet. It
// returns the deliveries that the service is to write. d.stack must be closed also when prepare fails.
func (d *demo) prepare(ctx context.Context) (iter.Seq[source.Delivery], error) {
	base, err := d.cfg.source.Deliveries(ctx)
	if err != nil {
		return nil, err
	}
	d.live.say("%d %s", len(base), d.cfg.source)
	d.live.say("building functions/relay: up to a minute the first time")
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	if d.stack, err = openStack(ctx, &d.cfg, program.Root, d.live.say, d.journal.onAccepted); err != nil {
		return nil, err
	}
	d.journal.setDestinations(d.stack.outputs.Destinations)
	d.service = service.New(d.stack.pool)
	if err = d.service.Migrate(ctx); err != nil {
		return nil, err
	}
	log := io.Discard
	if d.cfg.verbose {
		log = os.Stderr
	}
	ledger, err := os.MkdirTemp("", "demo-ledger-")
	if err != nil {
		return nil, err
	}
	d.stack.closers = append(d.stack.closers, func() error { return os.RemoveAll(ledger) })
	d.ledger = rig.Ledger(ledger)
	if d.fleet, err = newFleet(d.stack, program.Binary, d.ledger, d.cfg.tick, log); err != nil {
		return nil, err
	}
	d.addConsumers()
	if _, ordered := d.cfg.source.(source.Git); ordered {
		return source.InOrder(base, d.cfg.events), nil
	}
	return source.Replay(base, d.cfg.events, d.cfg.aggregates, d.cfg.seed), nil
}

func (d *demo) addConsumers() {
	client := sqs.NewFromConfig(d.stack.aws)
	for _, c := range []struct{ name, destination, queue string }{
		{"billing", outbox.DefaultDestination, "BillingQueue"},
		{"shipping", outbox.DefaultDestination, "ShippingQueue"},
		{"audit", service.Audit, "AuditQueue"},
	} {
		d.journal.Consumer(c.name, c.destination)
		url := d.stack.outputs.Resources[c.queue].URL
		d.consumers = append(d.consumers, consumer.New(client, c.name, c.destination, url, d.journal))
	}
}

// play writes the deliveries, runs relays and consumers until everything is delivered, waits until the last
// relay has ended, and judges the history.
func (d *demo) play(ctx context.Context, deliveries iter.Seq[source.Delivery]) (*report, error) {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var background sync.WaitGroup
	background.Go(func() {
		lambdahost.Schedule(working, d.cfg.tick, d.fleet.fn)
	})
	for _, c := range d.consumers {
		background.Go(func() {
			if err := c.Run(working, 4); err != nil {
				stop(err)
			}
		})
	}
	background.Go(func() { d.live.watch(working, d.line) })
	if d.cfg.kill {
		background.Go(func() {
			if err := d.kill(working); err != nil {
				stop(err)
			}
		})
	}
	d.live.say("an invocation every %s; writing with %d writers", d.cfg.tick, d.cfg.writers)
	start := time.Now()
	load := service.Load{
		Writers: d.cfg.writers, Batch: 4, Rate: d.cfg.rate, Steady: d.cfg.steady,
		RollBack: 0.02, Late: 0.01, LateBy: 500 * time.Millisecond, Seed: d.cfg.seed,
	}
	_, load.InOrder = d.cfg.source.(source.Git)
	err := d.service.Run(working, deliveries, load, d.journal, &d.progress)
	if err == nil {
		d.live.say("all is written: %d events, %d rolled back", d.progress.Committed.Load(), d.progress.RolledBack.Load())
		err = d.drain(working)
	}
	seconds := time.Since(start).Seconds()
	stop(nil)
	background.Wait()
	err = errors.Join(err, d.closeFleet(ctx))
	if err != nil {
		return nil, err
	}
	return d.report(ctx, seconds)
}

// closeFleet waits until the last relays have ended, which they do when no events come, for relayTimeout at most.
func (d *demo) closeFleet(ctx context.Context) error {
	d.live.say("waiting for the last relay to leave")
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	return d.fleet.fn.Close(ctx)
}

// drain waits until no event is to be sent any more and every consumer has received all sent events of its destination.
// It fails when ctx ends.
func (d *demo) drain(ctx context.Context) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		pending, sent, err := d.count(ctx)
		if err != nil {
			return err
		}
		done := pending == 0
		for _, c := range d.consumers {
			done = done && int64(c.Distinct()) >= sent[c.Destination()]
		}
		if done {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// count returns how many events are still to be sent (pending), and how many are marked as sent, by
// destination.
func (d *demo) count(ctx context.Context) (pending int64, sent map[string]int64, err error) {
	var toDefault, toAudit int64
	if err := d.stack.pool.QueryRow(ctx, pendingSQL).Scan(&pending, &toDefault, &toAudit); err != nil {
		return 0, nil, fmt.Errorf("count events: %w", err)
	}
	return pending, map[string]int64{outbox.DefaultDestination: toDefault, service.Audit: toAudit}, nil
}

// kill kills the relay that owns the shards twice: when half of the steady part is written, and when a third of the
// burst is. It records each kill as a cause of resends, and returns nil after both or when ctx ends.
func (d *demo) kill(ctx context.Context) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	at := []int64{int64(d.cfg.steady / 2), int64(d.cfg.steady + (d.cfg.events-d.cfg.steady)/3)}
	for len(at) > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if d.progress.Committed.Load() < at[0] {
			continue
		}
		killed, err := d.fleet.killOwner(ctx, d.stack.pool, func() { d.journal.Cause(history.Cause{Kind: history.Crash}) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, lambdahost.ErrNotRunning) {
			return err
		}
		if killed && err == nil {
			d.live.say("killed the relay at work (SIGKILL)")
			at = at[1:]
		}
	}
	return nil
}

// line returns the text that shows progress: counts so far, and the p99 of the latencies since the last call of line.
func (d *demo) line(ctx context.Context) string {
	written := d.progress.Committed.Load()
	accepted, p99, of := d.journal.take()
	latency := "-"
	if of > 0 {
		latency = p99.Round(time.Millisecond).String()
	}
	if d.cfg.emulator != "fake" {
		if _, sent, err := d.count(ctx); err == nil {
			accepted = sent[outbox.DefaultDestination] + sent[service.Audit]
		}
	}
	phase := "steady"
	if d.progress.Burst.Load() {
		phase = "burst"
	}
	received := make([]string, len(d.consumers))
	for i, c := range d.consumers {
		received[i] = fmt.Sprintf("%s %d", c.Name(), c.Distinct())
	}
	return fmt.Sprintf("%s  written %d  sent %d  backlog %d  p99 %s  received: %s",
		phase, written, accepted, max(0, written-accepted), latency, strings.Join(received, ", "))
}

// report reads what the run has left in the ledger and the database, and returns the judged report. seconds is its
// field Seconds.
func (d *demo) report(ctx context.Context, seconds float64) (*report, error) {
	if err := d.ledger.Record(d.journal.Recorder); err != nil {
		return nil, err
	}
	if err := d.journal.finish(ctx, d.stack.pool, d.cfg.emulator == "fake"); err != nil {
		return nil, err
	}
	all, _, err := d.service.Deliveries(ctx)
	if err != nil {
		return nil, err
	}
	var aggregates int64
	if err := d.stack.pool.QueryRow(ctx, aggregatesSQL).Scan(&aggregates); err != nil {
		return nil, fmt.Errorf("count aggregates: %w", err)
	}
	r := &report{
		Source: d.cfg.source.String(), Aggregates: aggregates, Emulator: d.cfg.emulator, PostgreSQL: d.stack.postgres, Seconds: seconds,
		Written: d.progress.Committed.Load(), Late: d.progress.Late.Load(), RolledBack: d.progress.RolledBack.Load(),
		ReadModel: all, Watched: d.cfg.emulator == "fake", Faults: []string{}, Delivered: map[string]int{}, Relay: d.fleet.snapshot(),
		Verdict: d.journal.Check(history.Config{ReadAhead: readAhead}),
	}
	for _, c := range d.consumers {
		r.Delivered[c.Name()] = c.Distinct()
	}
	r.judge()
	return r, nil
}
