//go:build unix

package rig

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

// Ledger is the path of the folder in which relays with failpoints record which sends they
// saw as of unknown outcome, and when the fault of their [failpoint.Plan] was done.
type Ledger string

// Env returns the variables of a relay that follows the plan and records in this folder, not in the plan's own.
func (l Ledger) Env(p *failpoint.Plan) (map[string]string, error) {
	text, err := json.Marshal(map[string]any{"step": p.Step, "fault": p.Fault, "nth": p.Nth, "times": p.Times, "ledger": l})
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return map[string]string{"OUTBOX_TEST_FAILPOINT": string(text)}, nil
}

// Record adds to rec a cause for each send whose outcome a relay saw as unknown, whatever
// the reason: a fault, or a machine too busy to answer in time. It fails for a
// deduplication id that is no event id, such as one of a replay.
func (l Ledger) Record(rec *history.Recorder) error {
	all, err := failpoint.AllUnanswered(string(l))
	if err != nil {
		return err
	}
	for _, u := range all {
		c := history.Cause{Kind: history.UnknownOutcome, At: u.At}
		for _, id := range u.DeduplicationIDs {
			event, err := uuid.Parse(id)
			if err != nil {
				return fmt.Errorf("deduplication id %q: %w", id, err)
			}
			c.Events = append(c.Events, event)
		}
		rec.Cause(c)
	}
	return nil
}
