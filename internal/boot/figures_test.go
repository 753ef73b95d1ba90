package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// figure is a metric as CloudWatch tells it apart, without the values of its
// dimensions.
type figure struct {
	namespace, metric, dimensions string
}

func newFigure(namespace, metric string, dimensions []string) figure {
	return figure{namespace, metric, strings.Join(slices.Sorted(slices.Values(dimensions)), ",")}
}

func (f figure) String() string {
	return fmt.Sprintf("%s %s by %s", f.namespace, f.metric, f.dimensions)
}

// ours are the metrics that relay and janitor write, read from the lines that
// they write. The value tells whether they write them in every line.
func ours(tb testing.TB, template *resources.Template) map[figure]bool {
	tb.Helper()
	r, err := Parse[Relay](environ())
	if err != nil {
		tb.Fatal(err)
	}
	if namespace := variable(template, "RelayFunction", "OUTBOX_METRICS_NAMESPACE"); namespace != "" {
		r.MetricsNamespace = namespace
	}
	j, err := Parse[Janitor](environ())
	if err != nil {
		tb.Fatal(err)
	}
	if namespace := variable(template, "JanitorFunction", "OUTBOX_METRICS_NAMESPACE"); namespace != "" {
		j.MetricsNamespace = namespace
	}
	found := map[figure]bool{}
	for _, all := range []bool{true, false} {
		var out bytes.Buffer
		r.metrics(&out, r.MetricsNamespace).Observe(report(all))
		j.metrics(&out, j.MetricsNamespace).ObserveJanitor(janitorReport(all))
		for line := range bytes.Lines(out.Bytes()) {
			var emf struct {
				AWS struct {
					CloudWatchMetrics []struct {
						Namespace  string
						Dimensions [][]string
						Metrics    []struct{ Name string }
					}
				} `json:"_aws"`
			}
			if err := json.Unmarshal(line, &emf); err != nil {
				tb.Fatal(err)
			}
			for _, d := range emf.AWS.CloudWatchMetrics {
				for _, m := range d.Metrics {
					found[newFigure(d.Namespace, m.Name, d.Dimensions[0])] = !all
				}
			}
		}
	}
	return found
}

// report has a number in every field, or in none.
func report(all bool) *relay.Report {
	r := &relay.Report{ByDestination: map[string]relay.DestinationCounts{}}
	d := relay.DestinationCounts{}
	if all {
		fill(reflect.ValueOf(r).Elem())
		fill(reflect.ValueOf(&d).Elem())
		r.Latencies = append(r.Latencies, 1)
	}
	r.ByDestination["default"] = d
	return r
}

// janitorReport has a number in every field, or in none.
func janitorReport(all bool) *janitor.Report {
	r := &janitor.Report{}
	if all {
		r.Health.Xmin = &janitor.XminHolder{Seconds: 1}
		r.Errors = []string{"failed"}
		fill(reflect.ValueOf(r).Elem())
	}
	return r
}

func fill(v reflect.Value) {
	for _, f := range v.Fields() {
		switch {
		case f.Type() == reflect.TypeFor[time.Time]():
		case f.Kind() == reflect.Struct:
			fill(f)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.CanInt():
			f.SetInt(1_000_000_000)
		case f.CanFloat():
			f.SetFloat(1)
		}
	}
}

// theirs are the metrics of AWS that are used: those of asynchronous functions,
// queues and topics in the lists of their guides.
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
// https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
func theirs() map[figure]bool {
	found := map[figure]bool{}
	for _, of := range []struct {
		namespace, dimension string
		metrics              []string
	}{
		{"AWS/Lambda", "FunctionName", []string{"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "AsyncEventsReceived", "AsyncEventAge", "AsyncEventsDropped"}},
		{"AWS/SQS", "QueueName", []string{"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage"}},
		{"AWS/SNS", "TopicName", []string{"NumberOfMessagesPublished", "NumberOfNotificationsDelivered", "NumberOfNotificationsFailed", "NumberOfNotificationsRedrivenToDlq", "NumberOfNotificationsFailedToRedriveToDlq"}},
	} {
		for _, m := range of.metrics {
			found[newFigure(of.namespace, m, []string{of.dimension})] = false
		}
	}
	return found
}

// variable is what the template gives a function in its environment, when it is
// a plain text.
func variable(t *resources.Template, function, name string) string {
	text, _ := walk(t.Resources[function].Properties, "Environment", "Variables", name).(string)
	return text
}

func walk(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// render evaluates Fn::Sub and Fn::If with the condition CreateMessaging, and
// puts <name> for every reference.
func render(v any, messaging bool) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	if arguments, isIf := m["Fn::If"].([]any); isIf && len(arguments) == 3 {
		if arguments[0] == "CreateMessaging" && messaging {
			return render(arguments[1], messaging)
		}
		return render(arguments[2], messaging)
	}
	text, _ := m["Fn::Sub"].(string)
	own := map[string]any{}
	if arguments, isList := m["Fn::Sub"].([]any); isList && len(arguments) == 2 {
		text, _ = arguments[0].(string)
		own, _ = arguments[1].(map[string]any)
	}
	return regexp.MustCompile(`\$\{([^}]*)\}`).ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		if literal, isLiteral := strings.CutPrefix(name, "!"); isLiteral {
			return "${" + literal + "}"
		}
		if value, isOwn := own[name]; isOwn {
			return render(value, messaging)
		}
		return "<" + name + ">"
	})
}

// widget is a widget of a CloudWatch dashboard.
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title   string
		Alarms  []string
		Metrics [][]any
	}
}

// search is the expression that finds a metric by destination.
var search = regexp.MustCompile(`^SEARCH\('\{([^,}]+),([^}]+)\} FunctionName="[^"]+" MetricName="([^"]+)"', '[A-Za-z0-9]+', 60\)$`)

// shown lists what a widget shows.
func (w *widget) shown() ([]figure, error) {
	var all []figure
	for _, m := range w.Properties.Metrics {
		if len(m) > 1 {
			if _, ok := m[len(m)-1].(map[string]any); ok {
				m = m[:len(m)-1]
			}
			if len(m) < 4 || len(m)%2 != 0 {
				return nil, fmt.Errorf("widget %q: %v is not a metric", w.Properties.Title, m)
			}
			var dimensions []string
			for i := 2; i < len(m); i += 2 {
				dimensions = append(dimensions, fmt.Sprint(m[i]))
			}
			all = append(all, newFigure(fmt.Sprint(m[0]), fmt.Sprint(m[1]), dimensions))
			continue
		}
		expression := ""
		if len(m) == 1 {
			expression = fmt.Sprint(walk(m[0], "expression"))
		}
		parts := search.FindStringSubmatch(expression)
		if parts == nil {
			return nil, fmt.Errorf("widget %q: %v is neither a metric nor a search by destination", w.Properties.Title, m)
		}
		all = append(all, newFigure(parts[1], parts[3], strings.Split(parts[2], ",")))
	}
	return all, nil
}

// grafana is a dashboard of Grafana.
type grafana struct {
	Templating struct{ List []struct{ Name string } }
	Panels     []struct {
		Title   string
		Targets []struct {
			Namespace, MetricName, Statistic string
			Dimensions                       map[string]string
		}
	}
}

func (g *grafana) shown() (all []figure, faults []string) {
	variables := map[string]bool{}
	for _, v := range g.Templating.List {
		variables["$"+v.Name] = true
	}
	for _, p := range g.Panels {
		for _, target := range p.Targets {
			namespace := target.Namespace
			if namespace == "$namespace" && variables[namespace] {
				namespace = DefaultNamespace
			}
			for _, value := range target.Dimensions {
				if value != "*" && !variables[value] {
					faults = append(faults, fmt.Sprintf("Grafana panel %q: no variable %s", p.Title, value))
				}
			}
			all = append(all, newFigure(namespace, target.MetricName, slices.Collect(maps.Keys(target.Dimensions))))
		}
	}
	return all, faults
}
