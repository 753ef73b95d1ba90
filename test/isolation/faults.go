//go:build unix

package isolation

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// fault is one fault that lasts for a phase, and that must not slow down the quiet aggregates at the watched
// destination. name is for the command line, what describes it in the report.
type fault struct {
	name, what string
	// faults has what the fake of SNS and SQS does wrong; it is empty for a fault of a writer.
	faults []awsfake.Fault
	// broken is how many of the aggregates that brokenID names write events during the phase. hotOn says whether the
	// aggregate with the id hot does.
	broken int
	hotOn  bool
	// low says that the fault is played in the run at a low rate, and must leave no event of a quiet aggregate unsent.
	low bool
	// slow is how much longer some calls take, 0 for most faults: events that take as long were in such a call.
	slow time.Duration
}

// faults returns all faults. queue is the name of the queue of the other destination, the one that is not
// watched.
func faults(queue string) []fault {
	group := outbox.GroupID("order", brokenID(0))
	all := []fault{
		{name: "poison", what: "one aggregate whose events can never be accepted", broken: 1, faults: []awsfake.Fault{
			{Kind: awsfake.FailEntry, GroupID: group, Code: "InvalidParameterValue", SenderFault: true, Message: "poison"},
		}},
		{name: "transient", what: "one aggregate whose events fail again and again", broken: 1, faults: []awsfake.Fault{
			{Kind: awsfake.FailEntry, GroupID: group, Code: "InternalError"},
		}},
		{name: "refused", what: "another destination refuses everything", faults: []awsfake.Fault{
			{Kind: awsfake.FailCall, Resource: queue, Code: "AccessDenied", Status: http.StatusForbidden, SenderFault: true},
		}},
		{name: "unanswered", what: "another destination never answers", faults: []awsfake.Fault{
			{Kind: awsfake.LoseResponse, Mode: awsfake.LossHang, Resource: queue},
		}},
		{name: "hot", what: "one aggregate writes at a high rate", hotOn: true},
	}
	return append(all, lowFaults()...)
}

// lowFaults returns the faults that are played in the run at a low rate.
func lowFaults() []fault {
	slow := fault{name: "slow-calls", what: "one call in 200 takes 1.5 s longer", low: true, slow: 1500 * time.Millisecond}
	for n := range 10 {
		slow.faults = append(slow.faults, awsfake.Fault{Kind: awsfake.Delay, Operation: "PublishBatch", After: 40 + 200*n, Count: 1, Delay: slow.slow})
	}
	all := []fault{slow}
	for _, n := range []int{1, 20} {
		unanswered := fault{name: fmt.Sprintf("unanswered-%d", n), what: fmt.Sprintf("calls with events of %d aggregates are never answered", n), broken: n, low: true}
		reset := fault{name: fmt.Sprintf("reset-%d", n), what: fmt.Sprintf("calls with events of %d aggregates are reset", n), broken: n, low: true}
		for i := range n {
			group := outbox.GroupID("order", brokenID(i))
			unanswered.faults = append(unanswered.faults, awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossHang, GroupID: group})
			reset.faults = append(reset.faults, awsfake.Fault{Kind: awsfake.DropConnection, GroupID: group})
		}
		all = append(all, unanswered, reset)
	}
	return all
}

// names returns the names of all faults.
func names() []string {
	var all []string
	for _, f := range faults("") {
		all = append(all, f.name)
	}
	return all
}

// play causes the fault for the time d and then ends it. It fails when the fake had planned faults and none of
// them happened. It returns how many events of quiet aggregates that were committed in the phase were not accepted when
// the fault ended: those of a fault at a low rate have had unsentWithin for that.
func (l *load) play(ctx context.Context, f *fault, d time.Duration) (unsent int, err error) {
	phase := l.meter.next()
	began := time.Now()
	var ids []string
	for _, planned := range f.faults {
		id, refused := l.world.Fake.AddFault(planned)
		if refused != nil {
			return 0, fmt.Errorf("plan a fault: %w", refused)
		}
		ids = append(ids, id)
	}
	l.broken.Store(int32(f.broken)) //nolint:gosec // At most 20.
	l.hotOn.Store(f.hotOn)
	err = rig.Pause(ctx, d)
	l.broken.Store(0)
	l.hotOn.Store(false)
	l.meter.next() // What comes until all is delivered belongs to no phase.
	if unsent = l.meter.unsent(phase); f.low {
		for end := time.Now().Add(unsentWithin); err == nil && unsent > 0 && time.Now().Before(end); unsent = l.meter.unsent(phase) {
			err = rig.Pause(ctx, 50*time.Millisecond)
		}
	}
	happened := 0
	for _, planned := range l.world.Fake.Faults() {
		if slices.Contains(ids, planned.ID) {
			happened += planned.Applied
			l.world.Fake.RemoveFault(planned.ID)
		}
	}
	l.world.Journal.Excuse(f.name, rig.Harmless, began, time.Now())
	if err == nil && len(ids) > 0 && happened == 0 {
		return 0, fmt.Errorf("the fault %s never happened", f.name)
	}
	return unsent, err
}
