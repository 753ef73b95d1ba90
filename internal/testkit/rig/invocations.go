//go:build unix

package rig

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Ends counts how the invocations of a run ended.
type Ends struct {
	// All is every invocation, Failed those that failed or were killed.
	All, Failed int
	// Overran counts those that the runtime had to kill at their deadline
	// although [World.WillFreeze] had not named them.
	Overran int
	// Fenced counts the events whose settlement the database refused, since
	// another relay had taken over, in invocations that did not fail.
	Fenced int64
}

// invocations has the Ends of a world so far, which mu guards.
type invocations struct {
	mu sync.Mutex
	Ends
}

// ended counts one attempt to run the function, once the attempt has ended: err is nil when it succeeded, and r then
// has the relay's summary.
func (w *World) ended(r lambdahost.Response, err error) {
	e := &w.ends
	e.mu.Lock()
	defer e.mu.Unlock()
	e.All++
	if err != nil {
		e.Failed++
		failure := (*lambdahost.FunctionError)(nil)
		if errors.As(err, &failure) && failure.Type == lambdahost.TypeTimeout {
			if _, frozen := w.frozen.Load(r.RequestID); !frozen {
				e.Overran++
			}
		}
		return
	}
	var summary relay.Summary
	if json.Unmarshal(r.Payload, &summary) == nil {
		e.Fenced += summary.Fenced
	}
}

// Ends returns the counts so far.
func (w *World) Ends() Ends {
	w.ends.mu.Lock()
	defer w.ends.mu.Unlock()
	return w.ends.Ends
}

// WillFreeze records that a fault is about to stop the invocation's process, so that it
// does not count as overrun when it meets its deadline. It stops nothing itself.
func (w *World) WillFreeze(requestID string) { w.frozen.Store(requestID, true) }
