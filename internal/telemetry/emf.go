// Package telemetry writes the reports of relays and janitors as CloudWatch metrics.
package telemetry

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	// maxValues is the most values of one metric in a line, by the specification of CloudWatch's
	// embedded metric format.
	maxValues = 100
	// maxDimensions is one less than the 30 dimensions that the specification allows, since a line about a destination
	// has the dimension Destination too.
	maxDimensions = 29
	// maxErrorText is the most bytes of an error's text in a line.
	maxErrorText = 500

	destinationKey = "Destination"
)

// EMF writes reports as lines in CloudWatch's embedded metric format. From lines on the standard output of a
// Lambda function, CloudWatch makes metrics. It is safe for concurrent use where its writer is. It is a
// [relay.Observer] and a [janitor.Observer].
type EMF struct {
	w          io.Writer
	namespace  string
	dimensions map[string]string
	keys       []string
	now        func() time.Time
}

var _ relay.Observer = (*EMF)(nil)

// NewEMF returns an EMF that writes each line to w with one call of Write. Its metrics have the namespace, and as
// dimensions the names and values of the map, which it copies. CloudWatch bills the metrics of each combination
// of values, so a dimension must not be an id. NewEMF panics on more than 29 dimensions.
func NewEMF(w io.Writer, namespace string, dimensions map[string]string) *EMF {
	if len(dimensions) > maxDimensions {
		panic("telemetry: more than 29 dimensions")
	}
	return &EMF{
		w:          w,
		namespace:  namespace,
		dimensions: maps.Clone(dimensions),
		keys:       slices.Sorted(maps.Keys(dimensions)),
		now:        time.Now,
	}
}

// Observe implements [relay.Observer]. It writes one line about the relay and one about each destination. A line that
// cannot be written is lost.
func (e *EMF) Observe(r *relay.Report) {
	now := e.now()
	whole := e.line(now, e.keys)
	add(whole, relayMetrics(), r)
	if len(r.Latencies) > 0 {
		whole.add(latency(), spread(r.Latencies))
	}
	whole.set("Final", r.Final)
	e.write(whole)

	for _, name := range slices.Sorted(maps.Keys(r.ByDestination)) {
		d := r.ByDestination[name]
		line := e.line(now, append(slices.Clone(e.keys), destinationKey))
		line.set(destinationKey, name)
		add(line, destinationMetrics(), &d)
		if d.LastError != "" {
			line.set("LastError", d.LastError[:min(len(d.LastError), maxErrorText)])
		}
		e.write(line)
	}
}

// write writes a line to e.w. It ignores errors, since a relay must not stop for a metric.
func (e *EMF) write(l *line) {
	encoded, err := json.Marshal(l)
	if err != nil {
		return
	}
	_, _ = e.w.Write(append(encoded, '\n'))
}

// line is one line of the embedded metric format: a JSON object.
type line struct {
	directive directive
	timestamp int64          // milliseconds since 1970
	members   map[string]any // values of dimensions and metrics, and further text
}

// directive is the part of a line that tells CloudWatch which members are metrics, and which are their dimensions.
type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

// definition is the name and the unit of one metric in a directive.
type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// line returns a line about the time now without metrics, with the values of e.dimensions. Its metrics will have
// the dimensions named by keys; a value that e.dimensions does not have is set by the caller.
func (e *EMF) line(now time.Time, keys []string) *line {
	l := &line{
		directive: directive{Namespace: e.namespace, Dimensions: [][]string{keys}, Metrics: []definition{}},
		timestamp: now.UnixMilli(),
		members:   map[string]any{},
	}
	for k, v := range e.dimensions {
		l.set(k, v)
	}
	return l
}

// set adds a member to the line: the value of a dimension, of a metric, or further text.
func (l *line) set(name string, value any) { l.members[name] = value }

// add adds a metric and its value to the line. value is a number or a list of at most maxValues numbers.
func (l *line) add(m Metric, value any) {
	l.directive.Metrics = append(l.directive.Metrics, definition{Name: m.Name, Unit: m.Unit})
	l.set(m.Name, value)
}

// add computes metrics from a report and adds them to the line, without those that are zero and not Always.
func add[T any](l *line, metrics []metric[T], from *T) {
	for _, m := range metrics {
		if v := m.value(from); v != 0 || m.Always {
			l.add(m.Metric, v)
		}
	}
}

// MarshalJSON implements [json.Marshaler].
func (l *line) MarshalJSON() ([]byte, error) {
	l.members["_aws"] = map[string]any{
		"Timestamp":         l.timestamp,
		"CloudWatchMetrics": []directive{l.directive},
	}
	return json.Marshal(l.members)
}

// spread returns up to maxValues of the values in milliseconds, sorted, and taken at even distances of rank from
// the least to the greatest.
func spread(values []time.Duration) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := min(len(sorted), maxValues)
	picked := make([]float64, n)
	for i := range picked {
		at := i
		if n > 1 {
			at = i * (len(sorted) - 1) / (n - 1)
		}
		picked[i] = float64(sorted[at].Microseconds()) / 1000
	}
	return picked
}
