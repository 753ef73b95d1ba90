package dlq

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// maxEntries is the most messages of one receive, delete or change of visibility (SQS API reference).
const maxEntries = 10

// The notes of an answer.
const (
	noteOrder  = "inside each group the order of the dead-letter queue is kept; what was delivered while these messages were in it stays ahead of them"
	noteCount  = "the number is the queue's own, and about right; nothing was received"
	noteUnseen = "some messages stand behind others of their group that were left in the queue, and could not be looked at"
	noteHidden = "some messages are hidden by another receiver, or by a run that was killed: they can be brought back when they appear again"
)

// Run brings messages of a dead-letter queue back to the queue that failed:
//
//   - Only what the target accepted is deleted.
//   - Inside each group the order of the dead-letter queue is kept, with at most one message of a group between sending
//     and deleting. A group stops at its first failure.
//   - Each message goes under a deduplication id that no other message has, and always under the same one however often
//     it is tried.
//   - What the filters leave out, and what stands behind a failure, is kept hidden to the end of the run, so that it is
//     not received again and again, and is shown again then.
//
// It starts no receive and no send after until. A call under way then ends within Config.CallTimeout, what it
// received is hidden and what it sent is deleted, in up to Config.Attempts calls, and what follows takes
// Config.Grace at most. With a Config.Recorder the run is recorded before it receives anything, and refused when that
// fails; its end is recorded in up to two seconds more. It may be canceled or killed at any time, and may run beside other runs. After a kill,
// the messages that the run was sending stay hidden for up to Config.Visibility, and those that it kept hidden
// appear again when the run would have ended, or after 15 minutes; then another run can bring them back.
//
// A FIFO queue shows nothing of a group behind a hidden message. So where the first messages of a group do not pass
// the filters, a run sees only as many of the group as one receive returned, at most ten. Unseen counts the rest.
//
// A dry run without filters receives nothing and answers with the queue's own count. A dry run with filters receives
// messages, which adds to their ApproximateReceiveCount.
//
// Run returns an error for a request that is not valid, when the run cannot be recorded, and when a dry run cannot count.
// What fails later is in the answer.
func (e *Engine) Run(ctx context.Context, route Route, req redrive.Request, until time.Time) (redrive.Answer, error) {
	if err := req.Validate(); err != nil {
		return redrive.Answer{}, err
	}
	if req.Source != redrive.SourceDLQ {
		return redrive.Answer{}, fmt.Errorf("redrive: the source %q is no dead-letter queue", req.Source)
	}
	r := &run{
		cfg: e.cfg, route: route, req: &req, filter: newFilter(&req), pace: newPace(req.Rate),
		started: time.Now(), until: until, quota: req.Limit, groups: map[string]*group{},
		changed: make(chan struct{}),
		answer: redrive.Answer{
			Action: redrive.ActionRedrive, Source: redrive.SourceDLQ, DryRun: req.DryRun,
			Queue: route.QueueName, SendTo: route.TargetName, Notes: slices.Clone(route.Notes),
		},
	}
	if req.DryRun && !req.Filtered() {
		return r.count(ctx)
	}
	if req.DryRun {
		return r.bringBack(ctx), nil
	}
	if err := r.begin(ctx); err != nil {
		return redrive.Answer{}, err
	}
	answer := r.bringBack(ctx)
	r.end(ctx, &answer)
	return answer, nil
}

// run is one call of [Engine.Run]. Its receivers, which are goroutines, share it.
type run struct {
	cfg     Config
	route   Route
	req     *redrive.Request
	filter  filter
	pace    *pace
	started time.Time
	until   time.Time
	// record is the id of the run's record, zero without one.
	record int64

	// mu guards the fields below and the groups.
	mu     sync.Mutex
	answer redrive.Answer
	// quota is how many more messages the receivers may take, where the request has a limit. A receiver subtracts
	// what it asks for before a receive, and adds again what it did not get or did not send.
	quota int
	// working is the number of messages that were received and that a receiver is still deciding about or sending.
	working int
	// received is the number of messages received so far, repeats included.
	received int
	// ordered is the number of different messages received so far, which is the order of the latest one.
	ordered int
	// kept is the number of messages that the run keeps hidden, in all groups.
	kept int
	// groups has what the run knows of each message group, by the id of the group.
	groups map[string]*group
	// unavailable is the number of batches in a row, up to the latest, of which every message was [outbox.Unavailable].
	unavailable int
	// changed is closed and replaced when the quota grows, when a receiver is done with its messages, and when the run
	// stops, so that receivers that wait look again for something to do.
	changed chan struct{}
}

// count answers a dry run without filters with the queue's own count, or the limit of the request if that is less.
// It receives nothing, and takes Config.CallTimeout at most.
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
	r.answer.Notes = append(r.answer.Notes, noteCount)
	r.answer.Seconds = time.Since(r.started).Seconds()
	return r.answer, nil
}

// bringBack runs the receivers until all of them are done, makes the messages visible again that were kept
// hidden, for Config.Grace at most and also after ctx ended, and returns the answer.
func (r *run) bringBack(ctx context.Context) redrive.Answer {
	reporting, cancel := context.WithCancel(ctx)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		r.report(reporting)
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
	// Not canceled with ctx: messages that stay hidden until their time is over would keep the next run waiting.
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Grace)
	defer done()
	r.countUnseen(ending)
	r.showKept(ending)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.More = r.answer.Stopped != "" || r.answer.Hidden > 0
	for _, n := range [...]struct {
		count int
		note  string
	}{{r.answer.Redriven, noteOrder}, {r.answer.Unseen, noteUnseen}, {r.answer.Hidden, noteHidden}} {
		if n.count > 0 {
			r.answer.Notes = append(r.answer.Notes, n.note)
		}
	}
	r.answer.Seconds = time.Since(r.started).Seconds()
	return r.answer
}

// countUnseen sets Unseen and Hidden of the answer from the queue's own count. It must be called before showKept:
// a message that is visible at that time stands behind one that the run keeps hidden, and a message that is
// hidden and not kept by the run is hidden by another receiver. After a run that ended early, and when the count
// fails, both numbers stay zero.
func (r *run) countUnseen(ctx context.Context) {
	if r.answer.Stopped != "" {
		return
	}
	calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	depth, err := r.route.Gauge.Depth(calling)
	if err != nil {
		return // the two counts are a help, and no reason to fail
	}
	if r.kept > 0 {
		r.answer.Unseen = depth.Visible
	}
	r.answer.Hidden = max(0, depth.Hidden-r.kept)
}

// stop ends the run for a reason and, when err is not nil, with its text as Problem. Only the first call has an effect.
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

// stopped reports whether the run may start nothing new: it was stopped, ctx ended, or its time is over. In the
// last case it stops the run with StopTime.
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

// signal wakes the receivers that wait in awaitChange. The caller must have locked r.mu.
func (r *run) signal() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// awaitChange waits until signal is called, ctx ends, or d is over.
func (r *run) awaitChange(ctx context.Context, d time.Duration) {
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

// pause waits for d, but not longer than until ctx ends or the time of the run is over. A d of zero or less is no
// wait.
func (r *run) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(min(d, time.Until(r.until)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// backoff returns the pause after that many failures in a row: Config.RetryMin after the first, doubled with each
// further one, and Config.RetryMax at most.
func (r *run) backoff(failures int) time.Duration {
	d := r.cfg.RetryMin
	for range failures - 1 {
		if d *= 2; d >= r.cfg.RetryMax {
			return r.cfg.RetryMax
		}
	}
	return d
}

// report logs the progress every Config.ReportEvery until ctx ends.
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
		a, kept, working := r.answer, r.kept, r.working
		r.mu.Unlock()
		r.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "redriving",
			slog.String("queue", a.Queue),
			slog.String("send_to", a.SendTo),
			slog.Int("redriven", a.Redriven),
			slog.Int("skipped", a.Skipped),
			slog.Int("failed", a.Failed),
			slog.Int("kept_hidden", kept),
			slog.Int("working_on", working),
			slog.Float64("seconds", time.Since(r.started).Seconds()))
	}
}
