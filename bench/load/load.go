// Package load is what a benchmark writes: events that are computed from their numbers, so that the judge can compute
// what must arrive.
package load

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"iter"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// AggregateType is that of all events; the group of aggregate 5 is "bench:5".
const AggregateType = "bench"

// Config describes the events of a benchmark.
type Config struct {
	// Aggregates is how many aggregates the events are of. Required; the scenarios have 1000.
	Aggregates int `json:"aggregates"`
	// Skew is the distribution of events over aggregates: "" is even, "zipf" has the weight 1/rank, "hot" gives
	// one event in ten, and its even share of the others, to the first aggregate.
	Skew string `json:"skew,omitempty"`
	// Bytes is the size of a payload; a payload is never smaller than its fixed fields, about 140 bytes. The
	// scenarios have 500 unless they say otherwise.
	Bytes int `json:"payload_bytes"`
}

// Events computes events from their numbers: the same number and Config always give the same event. Its methods
// may be called concurrently.
type Events struct {
	cfg    Config
	filler string
	// bounds are the cumulative weights of the aggregates for the skew "zipf", nil for the others.
	bounds []float64
}

// New returns a maker of the events that cfg describes.
func New(cfg Config) *Events {
	e := &Events{cfg: cfg, filler: strings.Repeat("payload ", cfg.Bytes/8+1)}
	if cfg.Skew == "zipf" {
		sum := 0.0
		for rank := range cfg.Aggregates {
			sum += 1 / float64(rank+1)
			e.bounds = append(e.bounds, sum)
		}
	}
	return e
}

// Aggregate returns the number of the aggregate, from 0, that event n is of.
func (e *Events) Aggregate(n int64) int {
	h := mix(uint64(n)) //nolint:gosec // a number from 0 on
	switch e.cfg.Skew {
	case "zipf":
		at := float64(h>>11) / (1 << 53) * e.bounds[len(e.bounds)-1]
		return sort.SearchFloat64s(e.bounds, at)
	case "hot":
		if h%10 == 0 {
			return 0
		}
	}
	return int(mix(h) % uint64(e.cfg.Aggregates)) //nolint:gosec // below Aggregates
}

// mix is SplitMix64: it returns a number that looks random, the same for the same x.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// Payload returns the payload of event n: a JSON object of an order, filled up to Config.Bytes.
func (e *Events) Payload(n int64) []byte {
	b := fmt.Appendf(make([]byte, 0, e.cfg.Bytes+128), `{"order_id":%d,"customer":"c-%d","currency":"EUR","lines":[{"sku":"A-%d","quantity":%d},{"sku":"B-2","quantity":1}],"note":"`,
		n, e.Aggregate(n), n%977, n%7)
	if fill := e.cfg.Bytes - len(b) - 2; fill > 0 {
		b = append(b, e.filler[:min(fill, len(e.filler))]...)
	}
	return append(b, `"}`...)
}

// Event returns event n, counted from 0, of the default destination.
func (e *Events) Event(n int64) outbox.Event {
	return outbox.Event{
		EventID:       EventID(n),
		AggregateType: AggregateType,
		AggregateID:   strconv.Itoa(e.Aggregate(n)),
		Type:          "order.placed",
		Payload:       e.Payload(n),
	}
}

// Range returns the events first to first+count-1 in the order of their numbers.
func (e *Events) Range(first, count int64) iter.Seq[outbox.Event] {
	return func(yield func(outbox.Event) bool) {
		for n := first; n < first+count && yield(e.Event(n)); n++ {
			continue
		}
	}
}

// Sum returns the first eight bytes of the MD5 of a payload as a little-endian number. It tells whether a
// payload was altered.
func Sum(payload []byte) uint64 {
	sum := md5.Sum(payload)
	return binary.LittleEndian.Uint64(sum[:8])
}

// EventID returns the id of event n, from 0 to 2^56-1: a UUID of version 7 that ends in n.
func EventID(n int64) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], 0x01890a5dac967000)
	binary.BigEndian.PutUint64(id[8:], 0x8000000000000000|uint64(n)) //nolint:gosec // below 2^56
	return id
}

// Number returns n for EventID(n). For any other id the number means nothing.
func Number(id uuid.UUID) int64 {
	return int64(binary.BigEndian.Uint64(id[8:]) & 0x00FFFFFFFFFFFFFF) //nolint:gosec // below 2^56
}
