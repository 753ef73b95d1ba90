package relay

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func TestWhatIsSettledIsNotReferredToAnyMore(t *testing.T) {
	t.Parallel()
	var s settling
	d := &destination{name: "d", events: shares(10, 1)(), bytes: shares(1_000, 1)()}
	w := window{items: map[identity]*item{}, lanes: map[outbox.Lane]*lane{}}
	for i := range 5 {
		it := &item{rec: &outbox.Record{ID: int64(i)}, msg: outbox.Message{Body: "body", Size: 4}}
		w.add(it, w.lane(outbox.Lane{AggregateID: string(rune('a' + i))}, 0, d))
		w.send(it)
		w.accept(it)
		if it.msg.Body != "" || w.bytes != 0 || d.bytes.used != 0 {
			t.Errorf("an accepted event has the body %q, the window %d bytes", it.msg.Body, w.bytes)
		}
		s.push(it, outbox.Result{}, s.first)
	}
	if items := s.take(); len(items) != 5 || len(s.items) != 0 {
		t.Fatalf("took %d, %d wait", len(items), len(s.items))
	}
	for _, it := range s.items[:cap(s.items)] {
		if it != nil {
			t.Errorf("event %d stays in memory", it.rec.ID)
		}
	}
}
