package dlq

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// maxEntries is the most messages of one receive, delete or change.
const maxEntries = 10

const orderNote = "inside each group the order of the dead-letter queue is kept; what was delivered while these messages were in it stays ahead of them"

// Run brings messages of a dead-letter queue back to the queue that failed:
//
//   - Only what the destination accepted is deleted.
//   - Inside each group the order of the dead-letter queue is kept, with at most
//     one message of a group between sending and deleting. A group stops at its
//     first failure.
//   - Each message goes under a deduplication id that was never used before,
//     and always under the same one however often it is tried.
//   - What the filters leave out, and what stands behind a failure, is kept
//     hidden to the end of the run, so that it is not received again and again,
//     and is shown again then.
//
// It starts nothing after until, and returns at most a call and the grace
// later. It may be canceled or killed anywhere, and run beside others: what was
// in its hands is hidden for the visibility time, what it held back until the
// end of the run and the grace, and both can be brought back then.
//
// Because a FIFO queue shows nothing of a group behind a hidden message, a
// filter looks at a group from its front, as far as one receive reached: at
// most ten messages. Unseen counts the rest.
//
// A dry run without filters receives nothing: it answers what the queue says of
// itself. Any other receives each message once, which counts towards
// the queue's ApproximateReceiveCount.
//
// The error is that of a request that is not valid. What happens on the way is
// in the answer.
func (q *Queues) Run(ctx context.Context, route Route, req redrive.Request, until time.Time) (redrive.Answer, error) {
	if err := req.Validate(); err != nil {
		return redrive.Answer{}, err
	}
	if req.Source != redrive.SourceDLQ {
		return redrive.Answer{}, fmt.Errorf("redrive: the source %q is no dead-letter queue", req.Source)
	}
	r := &run{
		cfg: q.cfg, route: route, req: &req, filter: newFilter(&req), pace: newPace(req.Rate),
		started: time.Now(), until: until, quota: req.Limit, groups: map[string]*group{},
		changed: make(chan struct{}),
		answer: redrive.Answer{
			Action: redrive.ActionRedrive, Source: redrive.SourceDLQ, DryRun: req.DryRun,
			Queue: route.QueueName, SendTo: route.TargetName, Notes: slices.Clone(route.Notes),
		},
	}
	if req.DryRun && !req.Filtered() && route.Gauge != nil {
		return r.count(ctx)
	}
	return r.all(ctx), nil
}

// run is one run of the engine.
type run struct {
	cfg     Config
	route   Route
	req     *redrive.Request
	filter  filter
	pace    *pace
	started time.Time
	until   time.Time

	mu     sync.Mutex
	answer redrive.Answer
	// quota is how many more may be taken in hand, when there is a limit.
	quota int
	// busy is the number of messages in hand, and received that of all so far.
	busy     int
	received int
	// held is the number of messages that are held back, in groups.
	held   int
	groups map[string]*group
	// place is the number of messages that were looked at.
	place int
	// refusals is the number of batches in a row that the destination refused.
	refusals int
	// changed is closed when quota or busy may allow something new.
	changed chan struct{}
}

// count is a dry run of everything: nothing is received.
func (r *run) count(ctx context.Context) (redrive.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	depth, err := r.route.Gauge.Depth(ctx)
	if err != nil {
		return redrive.Answer{}, fmt.Errorf("count messages: %w", err)
	}
	r.answer.Matched, r.answer.Hidden = depth.Visible, depth.Hidden
	if r.req.Limit > 0 {
		r.answer.Matched = min(depth.Visible, r.req.Limit)
	}
	r.answer.Notes = append(r.answer.Notes, "the number is the queue's own, and about right; nothing was received")
	r.answer.Seconds = time.Since(r.started).Seconds()
	return r.answer, nil
}

func (r *run) all(ctx context.Context) redrive.Answer {
	work, cancel := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		r.report(work)
	}()
	receivers := r.cfg.Receivers
	if r.req.Rate > 0 && r.req.Rate < 100 {
		receivers = 1
	}
	var workers sync.WaitGroup
	for range receivers {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Wait()
	cancel()
	<-reported
	if ctx.Err() != nil {
		r.stop(redrive.StopCanceled, context.Cause(ctx))
	}
	// Beyond the cancellation: what was held back is to be seen again now, not
	// when its time is over.
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Grace)
	defer done()
	r.look(ending)
	r.release(ending)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.More = r.answer.Stopped != "" || r.answer.Hidden > 0
	if r.answer.Redriven > 0 {
		r.answer.Notes = append(r.answer.Notes, orderNote)
	}
	if r.answer.Unseen > 0 {
		r.answer.Notes = append(r.answer.Notes, "some messages stand behind others of their group that were left in the queue, and could not be looked at")
	}
	if r.answer.Hidden > 0 {
		r.answer.Notes = append(r.answer.Notes, "some messages are hidden by another receiver, or by a run that was killed: they can be brought back when they appear again")
	}
	r.answer.Seconds = time.Since(r.started).Seconds()
	return r.answer
}

// look counts what could not be received, while what is held back is hidden.
func (r *run) look(ctx context.Context) {
	if r.route.Gauge == nil || r.answer.Stopped != "" {
		return
	}
	calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	depth, err := r.route.Gauge.Depth(calling)
	if err != nil {
		return // the answer does without
	}
	if r.held > 0 {
		r.answer.Unseen = depth.Visible
	}
	r.answer.Hidden = max(0, depth.Hidden-r.held)
}

// stop ends the run for a reason; the first counts.
func (r *run) stop(reason redrive.Stop, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer.Stopped != "" {
		return
	}
	r.answer.Stopped = reason
	if err != nil {
		r.answer.Problem = err.Error()
	}
	r.signal()
}

// stopped reports whether nothing new may be started.
func (r *run) stopped(ctx context.Context) bool {
	r.mu.Lock()
	over := r.answer.Stopped != ""
	r.mu.Unlock()
	switch {
	case over, ctx.Err() != nil:
		return true
	case !time.Now().Before(r.until):
		r.stop(redrive.StopTime, nil)
		return true
	}
	return false
}

// signal wakes those who wait for a change. r.mu is held.
func (r *run) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// report logs the progress until ctx ends.
func (r *run) report(ctx context.Context) {
	ticker := time.NewTicker(r.cfg.ReportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.mu.Lock()
		a, held, busy := r.answer, r.held, r.busy
		r.mu.Unlock()
		r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "redriving",
			slog.String("queue", a.Queue),
			slog.String("send_to", a.SendTo),
			slog.Int("redriven", a.Redriven),
			slog.Int("skipped", a.Skipped),
			slog.Int("failed", a.Failed),
			slog.Int("held", held),
			slog.Int("in_hand", busy),
			slog.Float64("seconds", time.Since(r.started).Seconds()))
	}
}

// work receives and sends until there is nothing left to do.
func (r *run) work(ctx context.Context) {
	failures := 0
	var attempt string
	for !r.stopped(ctx) {
		before, idle := r.activity()
		hand, err := r.gather(ctx, &attempt)
		if len(hand) > 0 {
			failures = 0
			r.process(ctx, hand)
			r.putDown(len(hand))
			continue
		}
		if err != nil {
			if failures++; failures >= r.cfg.Attempts {
				r.stop(redrive.StopUnavailable, fmt.Errorf("receive: %w", err))
				return
			}
			r.pause(ctx, r.backoff(failures))
			continue
		}
		failures = 0
		if r.exhausted() {
			r.stop(redrive.StopLimit, nil)
			return
		}
		after, stillIdle := r.activity()
		if idle && stillIdle && before == after {
			return
		}
		// Others are at work, and may uncover more of their groups.
		r.await(ctx, max(r.cfg.Wait, r.cfg.RetryMin))
	}
}

// activity returns how much was received so far, and whether nobody has
// anything in hand.
func (r *run) activity() (received int, idle bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received, r.busy == 0
}

// exhausted reports whether the limit is reached, and not only taken for now.
func (r *run) exhausted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.req.Limit > 0 && r.answer.Redriven+r.answer.Matched >= r.req.Limit
}

// gather receives messages for one hand. The error matters only when there are
// none. The attempt is that of a receive whose answer was lost.
func (r *run) gather(ctx context.Context, attempt *string) ([]*letter, error) {
	size := r.cfg.Hand
	if r.req.Rate > 0 {
		// No more than some seconds' worth, so that a killed run hides little.
		size = max(1, min(size, int(r.req.Rate*5)))
	}
	var hand []*letter
	for len(hand) < size {
		n := r.pickUp(min(maxEntries, size-len(hand)))
		if n == 0 || r.stopped(ctx) {
			r.putBack(n)
			return hand, nil
		}
		wait := r.cfg.Wait
		if len(hand) > 0 {
			wait = 0
		}
		if *attempt == "" {
			*attempt = uuid.NewString()
		}
		calling, cancel := context.WithTimeout(ctx, wait+r.cfg.CallTimeout)
		asked := time.Now()
		got, err := r.route.Queue.Receive(calling, Receive{
			Attempt: *attempt, Max: n, Hide: r.cfg.Visibility, Wait: wait,
		})
		cancel()
		if err == nil {
			*attempt = ""
		}
		r.putBack(n - len(got))
		r.arrived(len(got))
		for i := range got {
			hand = append(hand, newLetter(&got[i], asked.Add(r.cfg.Visibility)))
		}
		if err != nil || len(got) == 0 {
			return hand, err
		}
	}
	return hand, nil
}

// pickUp takes up to n of the quota in hand.
func (r *run) pickUp(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.req.Limit > 0 {
		n = min(n, r.quota)
		r.quota -= n
	}
	return n
}

// putBack gives n of the quota back.
func (r *run) putBack(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.req.Limit > 0 && n > 0 {
		r.quota += n
		r.signal()
	}
}

func (r *run) arrived(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy += n
	r.received += n
}

func (r *run) putDown(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy -= n
	r.signal()
}

// await waits for a change, for d at most.
func (r *run) await(ctx context.Context, d time.Duration) {
	r.mu.Lock()
	changed := r.changed
	r.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

// pause waits for d, or until ctx ends or the time of the run is over.
func (r *run) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(min(d, time.Until(r.until)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// backoff returns the pause after so many failures in a row.
func (r *run) backoff(failures int) time.Duration {
	d := r.cfg.RetryMin
	for range failures - 1 {
		if d *= 2; d >= r.cfg.RetryMax {
			return r.cfg.RetryMax
		}
	}
	return d
}
