//go:build unix

package rig

import (
	"encoding/json"
	"errors"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Ends counts how the invocations of a run ended.
type Ends struct {
	// All is every invocation, Failed those that failed or were killed.
	All, Failed int
	// Overran counts those that were killed at their deadline although [World.WillFreeze]
	// had not named them.
	Overran int
	// Fenced counts the events that invocations without an error could not settle, because
	// another relay had taken over the lease.
	Fenced int64
}

// ended counts one attempt to run the function, once the attempt has ended: err is nil when it succeeded, and r then
// has the relay's summary.
func (w *World) ended(r lambdahost.Response, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends.All++
	if err != nil {
		w.ends.Failed++
		failure, failed := errors.AsType[*lambdahost.FunctionError](err)
		if failed && failure.Type == lambdahost.TypeTimeout && !w.frozen[r.RequestID] {
			w.ends.Overran++
		}
		return
	}
	var summary relay.Summary
	if json.Unmarshal(r.Payload, &summary) == nil {
		w.ends.Fenced += summary.Fenced
	}
}

// Ends returns the counts so far.
func (w *World) Ends() Ends {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends
}

// WillFreeze records that the caller stops the process of the invocation, so that the
// invocation does not count as overrun at its deadline. It stops nothing itself.
func (w *World) WillFreeze(requestID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen[requestID] = true
}
