package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var update = flag.Bool("update", false, "write testdata and the generated parts of docs/metrics.md")

func observed(r *relay.Report, dimensions map[string]string) []byte {
	var out bytes.Buffer
	e := NewEMF(&out, "ServerlessOutbox", dimensions)
	e.now = func() time.Time { return time.UnixMilli(1_700_000_000_123) }
	e.Observe(r)
	return out.Bytes()
}

func function() map[string]string { return map[string]string{"FunctionName": "relay"} }

// full has a different number in every field.
func full() *relay.Report {
	r := &relay.Report{
		Counts: relay.Counts{
			Fetched: 101, Published: 102, Settled: 103, DeadLetters: 104, Blocked: 105, Transient: 106, Throttled: 107,
			Unknown: 108, Unavailable: 109, Batches: 10, BatchEntries: 95, Fetches: 112, Settles: 113,
			FetchErrors: 114, SettleErrors: 115, RenewErrors: 116, HandOvers: 117, Fenced: 118, Late: 119,
			Withheld: 120, NoDestination: 121, Strays: 122, Mismatched: 123, Eras: 124, Swallowed: 125,
		},
		Latencies: []time.Duration{30 * time.Millisecond, 1500 * time.Microsecond, 20 * time.Millisecond},
		ByDestination: map[string]relay.DestinationCounts{
			"default": {Published: 201, DeadLetters: 202, Throttled: 203, Unavailable: 204, Concurrency: 205, LastError: "AccessDenied: no"},
			"quiet":   {Concurrency: 1},
		},
		Backlog: relay.Backlog{Pending: 301, Oldest: 2500 * time.Millisecond},
		Shards:  64, Buffered: 302, BufferedBytes: 303, InFlight: 304, Gaps: 305, Final: true,
	}
	return r
}

func TestLinesAreTheGolden(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*relay.Report{"full": full(), "idle": {Shards: 64}} {
		path := "testdata/" + name + ".jsonl"
		got := observed(r, function())
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

// parsed is a line as CloudWatch reads it.
type parsed struct {
	members map[string]any
	metrics map[string]string // name to unit
	keys    []string
}

// check holds a line to the embedded metric format specification.
func check(t *testing.T, text []byte) parsed {
	t.Helper()
	p := parsed{metrics: map[string]string{}}
	if err := json.Unmarshal(text, &p.members); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if len(text) > 256<<10 {
		t.Errorf("a line of %d bytes is cut by CloudWatch Logs", len(text))
	}
	var meta struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		t.Fatal(err)
	}
	if meta.AWS.Timestamp != 1_700_000_000_123 || len(meta.AWS.CloudWatchMetrics) != 1 {
		t.Errorf("metadata %+v", meta.AWS)
	}
	d := meta.AWS.CloudWatchMetrics[0]
	if d.Namespace == "" || len(d.Dimensions) != 1 || len(d.Metrics) == 0 || len(d.Metrics) > 100 {
		t.Errorf("directive with %d sets of dimensions and %d metrics", len(d.Dimensions), len(d.Metrics))
	}
	p.keys = d.Dimensions[0]
	if len(p.keys) > 30 {
		t.Errorf("%d dimensions", len(p.keys))
	}
	for _, k := range p.keys {
		if v, ok := p.members[k].(string); !ok || v == "" || len(v) > 1024 {
			t.Errorf("dimension %s is %v", k, p.members[k])
		}
	}
	units := []string{"Count", "Seconds", "Milliseconds", "Bytes", "None"}
	for _, m := range d.Metrics {
		if _, twice := p.metrics[m.Name]; twice || !slices.Contains(units, m.Unit) {
			t.Errorf("metric %+v comes twice or has no unit of CloudWatch", m)
		}
		p.metrics[m.Name] = m.Unit
		switch v := p.members[m.Name].(type) {
		case float64:
		case []any:
			if len(v) == 0 || len(v) > 100 {
				t.Errorf("metric %s has %d values", m.Name, len(v))
			}
		default:
			t.Errorf("metric %s is %v", m.Name, v)
		}
	}
	return p
}

func lines(t *testing.T, text []byte) []parsed {
	t.Helper()
	var all []parsed
	for line := range bytes.Lines(text) {
		all = append(all, check(t, line))
	}
	return all
}

func TestAFullReportHasEveryMetricOfTheTable(t *testing.T) {
	t.Parallel()
	got := lines(t, observed(full(), function()))
	if len(got) != 3 {
		t.Fatalf("%d lines", len(got))
	}
	for i, table := range [][]Metric{relayList(), destinationList()} {
		if len(got[i].metrics) != len(table) {
			t.Errorf("line %d has %d metrics, the table %d", i, len(got[i].metrics), len(table))
		}
		for _, m := range table {
			if got[i].metrics[m.Name] != m.Unit {
				t.Errorf("line %d: %s has unit %q, want %q", i, m.Name, got[i].metrics[m.Name], m.Unit)
			}
		}
	}
	seen := map[string]string{}
	for name := range got[0].metrics {
		v := fmt.Sprint(got[0].members[name])
		if other, twice := seen[v]; twice {
			t.Errorf("%s and %s have the same value %s: one reads the wrong field", name, other, v)
		}
		seen[v] = name
	}
	if !slices.Equal(got[1].keys, []string{"FunctionName", "Destination"}) || got[1].members["Destination"] != "default" {
		t.Errorf("dimensions %v, destination %v", got[1].keys, got[1].members["Destination"])
	}
	if slices.Contains(got[0].keys, "Destination") {
		t.Errorf("the relay's line has dimensions %v", got[0].keys)
	}
}

func TestAnIdleReportHasOnlyWhatIsAlwaysWritten(t *testing.T) {
	t.Parallel()
	got := lines(t, observed(&relay.Report{}, function()))
	for _, m := range relayList() {
		if _, written := got[0].metrics[m.Name]; written != m.Always {
			t.Errorf("%s: written %v, want %v", m.Name, written, m.Always)
		}
	}
}

func TestLatenciesKeepTheirPercentiles(t *testing.T) {
	t.Parallel()
	var values []time.Duration
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(10_000) {
		values = append(values, time.Duration(i)*time.Millisecond)
	}
	got := spread(values)
	if len(got) != 100 || got[0] != 0 || got[99] != 9999 {
		t.Fatalf("%d values from %v to %v", len(got), got[0], got[len(got)-1])
	}
	for i, v := range got {
		if want := float64(i) * 101; v < want-101 || v > want+101 {
			t.Errorf("value %d is %v, want about %v", i, v, want)
		}
	}
	if one := spread([]time.Duration{time.Millisecond}); !slices.Equal(one, []float64{1}) {
		t.Errorf("one value became %v", one)
	}
	if values[0] == 0 && values[1] == time.Millisecond {
		t.Error("the report's values were sorted in place")
	}
}

func TestAnyReportGivesValidLines(t *testing.T) {
	t.Parallel()
	dimensions := map[string]string{}
	for i := range maxDimensions {
		dimensions[fmt.Sprint("Dimension", i)] = "v"
	}
	r := full()
	r.Latencies = make([]time.Duration, 100_000)
	r.ByDestination["broken"] = relay.DestinationCounts{LastError: strings.Repeat("\xff<\"\n", 1000)}
	for _, p := range lines(t, observed(r, dimensions)) {
		if text, ok := p.members["LastError"].(string); ok && len([]rune(text)) > maxErrorText {
			t.Errorf("an error text of %d", len(text))
		}
	}
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errors.New("disk full") }

func TestAFailingWriterStopsNothing(t *testing.T) {
	t.Parallel()
	w := &broken{}
	e := NewEMF(w, "n", function())
	e.Observe(full())
	if w.writes != 3 {
		t.Errorf("%d writes, want one for each line", w.writes)
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const path = "../../docs/metrics.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for part, metrics := range map[string][]Metric{"relay": relayList(), "destination": destinationList(), "janitor": janitorList()} {
		begin, end := "<!-- "+part+": begin -->\n", "<!-- "+part+": end -->\n"
		head, rest, ok := strings.Cut(want, begin)
		if !ok {
			t.Fatalf("%s has no %q", path, begin)
		}
		_, tail, ok := strings.Cut(rest, end)
		if !ok {
			t.Fatalf("%s has no %q", path, end)
		}
		want = head + begin + table(metrics) + end + tail
	}
	if string(content) == want {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the metrics in the code: run: go test ./internal/telemetry -run Documented -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

func table(metrics []Metric) string {
	var b strings.Builder
	b.WriteString("\n| Metric | Unit | When | Meaning |\n| --- | --- | --- | --- |\n")
	for _, m := range metrics {
		when := "above 0"
		if m.Always {
			when = "always"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Unit, when, m.Meaning)
	}
	b.WriteString("\n")
	return b.String()
}

// relayList lists the metrics of a relay.
func relayList() []Metric {
	return append(described(relayMetrics()), latency())
}

// destinationList lists the metrics that are written for each destination.
func destinationList() []Metric { return described(destinationMetrics()) }

func described[T any](metrics []metric[T]) []Metric {
	all := make([]Metric, 0, len(metrics)+1)
	for _, m := range metrics {
		all = append(all, m.Metric)
	}
	return all
}

// janitorList lists the metrics of a run of the janitor.
func janitorList() []Metric { return described(janitorMetrics()) }
