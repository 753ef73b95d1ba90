package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// An event is put back in front of its lane at each moment at which the lane is
// being resumed. As long as the hold is there nothing may overtake it.
func TestEventPutBackIntoALaneThatIsBeingResumedComesFirst(t *testing.T) {
	t.Parallel()
	inTime, late := 0, 0
	for moment := range 24 {
		inWorld(t, func(w *world) {
			w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
			w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
				if m := msgs[i]; m.Body == `{"n":0}` && !strings.Contains(m.DeduplicationID, "#") {
					return outbox.Result{Class: outbox.Rejected, Code: "no"}
				}
				return outbox.Result{Class: outbox.Accepted}
			}
			recs := w.store.Enqueue(event("a", 0), event("a", 1), event("a", 2))
			lane := recs[0].Lane()
			var mu sync.Mutex
			released, told, held, step := false, false, false, 0
			at := func(name string) {
				mu.Lock()
				defer mu.Unlock()
				if !released || !told && name != "renew" {
					return
				}
				told = true
				if step++; step == moment+1 {
					_, held = w.store.Blocked()[lane]
					w.store.Redrive(recs[0].ID)
				}
			}
			w.store.Before = func(_ context.Context, name string) error { at(name); return nil }
			w.store.After = func(_ context.Context, name string) error { at(name); return nil }
			w.start(w.Context(), "r", 40*time.Second)
			pass(5 * time.Second)
			if !w.store.OnHold(lane) {
				w.Fatal("the lane is not on hold")
			}
			mu.Lock()
			released = true
			mu.Unlock()
			w.store.Release(lane)
			pass(20 * time.Second)
			want := []string{`{"n":0}`, `{"n":1}`, `{"n":2}`}
			got := groups(w.broker())[groupOf(t, "a")]
			if held {
				inTime++
				if fmt.Sprint(got) != fmt.Sprint(want) {
					w.Errorf("put back at step %d: accepted %v, want %v", moment, got, want)
				}
			} else if late++; len(got) != 3 || !slices.Contains(got, want[0]) {
				w.Errorf("put back at step %d, when the lane had gone on: accepted %v", moment, got)
			}
			if n := len(w.store.Blocked()); n != 0 {
				w.Errorf("put back at step %d: %d holds are left", moment, n)
			}
			w.nothingPending()
		})
	}
	if inTime < 5 || late < 1 {
		t.Errorf("%d moments before the hold went and %d after: the steps miss what they are for", inTime, late)
	}
}
