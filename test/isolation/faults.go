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
	// brokenOn and hotOn say whether events of the aggregates with the ids broken and hot are written during the phase.
	brokenOn, hotOn bool
}

// faults returns all faults. queue is the name of the queue of the other destination, the one that is not
// watched.
func faults(queue string) []fault {
	group := outbox.GroupID("order", broken)
	return []fault{
		{name: "poison", what: "one aggregate whose events can never be accepted", brokenOn: true, faults: []awsfake.Fault{
			{Kind: awsfake.FailEntry, GroupID: group, Code: "InvalidParameterValue", SenderFault: true, Message: "poison"},
		}},
		{name: "transient", what: "one aggregate whose events fail again and again", brokenOn: true, faults: []awsfake.Fault{
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
// them happened.
func (l *load) play(ctx context.Context, f *fault, d time.Duration) error {
	began := time.Now()
	var ids []string
	for _, planned := range f.faults {
		id, err := l.world.Fake.AddFault(planned)
		if err != nil {
			return fmt.Errorf("plan a fault: %w", err)
		}
		ids = append(ids, id)
	}
	l.brokenOn.Store(f.brokenOn)
	l.hotOn.Store(f.hotOn)
	err := rig.Pause(ctx, d)
	l.brokenOn.Store(false)
	l.hotOn.Store(false)
	happened := 0
	for _, planned := range l.world.Fake.Faults() {
		if slices.Contains(ids, planned.ID) {
			happened += planned.Applied
			l.world.Fake.RemoveFault(planned.ID)
		}
	}
	l.world.Journal.Excuse(f.name, rig.Harmless, began, time.Now())
	if err == nil && len(ids) > 0 && happened == 0 {
		return fmt.Errorf("the fault %s never happened", f.name)
	}
	return err
}
