package relay

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// BenchmarkPack packs the first events of 1,000 ready lanes into batches of ten
// and makes the lanes ready again. An operation is one batch.
func BenchmarkPack(b *testing.B) {
	d := &destination{limits: outbox.Limits{Entries: 10, BatchBytes: 1 << 20, MessageBytes: 1 << 20}}
	for range 1000 {
		l := &lane{dest: d, heapIndex: -1}
		l.queue = []*item{{msg: outbox.Message{Size: 500}, lane: l}}
		d.ready.push(l)
	}
	b.ReportAllocs()
	for b.Loop() {
		batch, faulty := d.pack(&d.ready)
		if len(batch) != 10 || len(faulty) != 0 {
			b.Fatalf("packed %d, and %d faulty", len(batch), len(faulty))
		}
		for _, it := range batch {
			d.ready.push(it.lane)
		}
	}
}
