package boot

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
)

// observability is what must fit together.
type observability struct {
	template, grafana, alarms string
}

func readObservability(tb testing.TB) observability {
	tb.Helper()
	read := func(path string) string {
		content, err := os.ReadFile("../../" + path)
		if err != nil {
			tb.Fatal(err)
		}
		return string(content)
	}
	return observability{read("template.yaml"), read("deploy/grafana/serverless-outbox.json"), read("docs/alarms.md")}
}

// wanted are the alarms that no stack may be without.
func wanted() []figure {
	return []figure{
		newFigure("ServerlessOutbox", "OldestAge", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "Heartbeat", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "DeadLetters", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "Blocked", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "JanitorHeartbeat", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "JanitorErrors", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "PartitionsAhead", []string{"FunctionName"}),
		newFigure("ServerlessOutbox", "Findings", []string{"FunctionName"}),
		newFigure("AWS/Lambda", "Errors", []string{"FunctionName"}),
		newFigure("AWS/Lambda", "Throttles", []string{"FunctionName"}),
		newFigure("AWS/Lambda", "AsyncEventsDropped", []string{"FunctionName"}),
		newFigure("AWS/SQS", "ApproximateNumberOfMessagesVisible", []string{"QueueName"}),
		newFigure("AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq", []string{"TopicName"}),
	}
}

// faults says what does not fit.
func (o observability) faults(tb testing.TB) []string {
	tb.Helper()
	template, err := resources.Parse([]byte(o.template))
	if err != nil {
		return []string{err.Error()}
	}
	mine := ours(tb, template)
	known := theirs()
	maps.Copy(known, mine)
	c := &check{template: template, document: sections(o.alarms), known: known, alarmed: map[string]figure{}}
	c.alarms()
	c.deadLetterQueues()
	shown := c.dashboard(mine)
	c.grafana(o.grafana, shown)
	return c.found
}

// sections are the texts under the headings of a document.
func sections(document string) map[string]string {
	found := map[string]string{}
	for i, part := range strings.Split("\n"+document, "\n#") {
		if i > 0 {
			title, text, _ := strings.Cut(strings.TrimLeft(part, "# "), "\n")
			found[strings.TrimSpace(title)] = text
		}
	}
	return found
}

type check struct {
	template *resources.Template
	document map[string]string
	known    map[figure]bool
	// alarmed are the alarms by logical id.
	alarmed map[string]figure
	found   []string
}

func (c *check) bad(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *check) alarms() {
	for _, id := range slices.Sorted(maps.Keys(c.template.Resources)) {
		r := c.template.Resources[id]
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		f := alarmFigure(r)
		c.alarmed[id] = f
		always, exists := c.known[f]
		if !exists {
			c.bad("%s: nobody writes %s", id, f)
		}
		missing, _ := r.Properties["TreatMissingData"].(string)
		if missing == "breaching" && !always {
			c.bad("%s: %s is left out while it is 0, so missing data must not alarm", id, f)
		}
		if r.Properties["AlarmActions"] == nil || r.Properties["OKActions"] == nil {
			c.bad("%s: notifies nobody", id)
		}
		c.explained(id, r, missing)
	}
	have := slices.Collect(maps.Values(c.alarmed))
	for _, f := range wanted() {
		if !slices.Contains(have, f) {
			c.bad("no alarm on %s", f)
		}
	}
	for title := range c.document {
		if _, ok := c.alarmed[title]; !ok && strings.HasSuffix(title, "Alarm") {
			c.bad("docs/alarms.md describes %s, which does not exist", title)
		}
	}
}

func alarmFigure(r resources.Resource) figure {
	namespace, _ := r.Properties["Namespace"].(string)
	metric, _ := r.Properties["MetricName"].(string)
	var names []string
	dimensions, _ := r.Properties["Dimensions"].([]any)
	for _, d := range dimensions {
		names = append(names, fmt.Sprint(walk(d, "Name")))
	}
	return newFigure(namespace, metric, names)
}

// explained holds an alarm to its section. One heading may stand for the next:
// the alarms of one kind are described together.
func (c *check) explained(id string, r resources.Resource, missing string) {
	text, ok := c.document[id]
	if !ok {
		c.bad("%s: has no section in docs/alarms.md", id)
		return
	}
	if strings.TrimSpace(text) == "" && strings.HasSuffix(id, "DeadLettersAlarm") {
		text = c.document["AuditDeadLettersAlarm"]
	}
	reason, ok := cutLine(text, "Missing data: `"+missing+"`. ")
	if missing == "" || !ok || len(reason) < 20 {
		c.bad("%s: docs/alarms.md does not say why missing data is %q", id, missing)
	}
	if what, told := cutLine(text, "What to do: "); !told || len(what) < 20 {
		c.bad("%s: docs/alarms.md does not say what to do", id)
	}
	description, _ := r.Properties["AlarmDescription"].(string)
	what, anchor, linked := strings.Cut(description, " - docs/alarms.md#")
	if len(what) < 20 {
		c.bad("%s: has no description", id)
	}
	if !linked || !slices.ContainsFunc(slices.Collect(maps.Keys(c.document)), func(title string) bool {
		return strings.ReplaceAll(strings.ToLower(title), " ", "-") == anchor
	}) {
		c.bad("%s: its description leads to no section of docs/alarms.md", id)
	}
}

func cutLine(text, begin string) (string, bool) {
	_, rest, ok := strings.Cut("\n"+text, "\n"+begin)
	line, _, _ := strings.Cut(rest, "\n\n")
	return line, ok
}

// deadLetterQueues wants an alarm on every queue that takes dead letters.
func (c *check) deadLetterQueues() {
	var watched []string
	for id := range c.alarmed {
		dimensions, _ := c.template.Resources[id].Properties["Dimensions"].([]any)
		for _, d := range dimensions {
			if attribute, ok := walk(d, "Value", "Fn::GetAtt").([]any); ok && len(attribute) == 2 {
				watched = append(watched, fmt.Sprint(attribute[0]))
			}
		}
	}
	for id, r := range c.template.Resources {
		target, ok := walk(r.Properties, "RedrivePolicy", "deadLetterTargetArn", "Fn::GetAtt").([]any)
		if ok && !slices.Contains(watched, fmt.Sprint(target[0])) {
			c.bad("%s: no alarm on its dead letters in %v", id, target[0])
		}
	}
}

// dashboard returns what the dashboard shows with queues of its own.
func (c *check) dashboard(mine map[figure]bool) map[figure]bool {
	shown := map[figure]bool{}
	for _, messaging := range []bool{false, true} {
		clear(shown)
		body := render(c.template.Resources["Dashboard"].Properties["DashboardBody"], messaging)
		var parsed struct{ Widgets []widget }
		if err := json.Unmarshal([]byte(body), &parsed); err != nil {
			c.bad("the dashboard is not JSON: %v", err)
			return shown
		}
		var listed []string
		for i := range parsed.Widgets {
			w := &parsed.Widgets[i]
			listed = append(listed, w.Properties.Alarms...)
			figures, err := w.shown()
			if err != nil {
				c.bad("dashboard: %v", err)
			}
			for _, f := range figures {
				shown[f] = true
				if _, ok := c.known[f]; !ok {
					c.bad("dashboard: %q: nobody writes %s", w.Properties.Title, f)
				}
			}
			for _, other := range parsed.Widgets[:i] {
				if w.X < other.X+other.Width && other.X < w.X+w.Width && w.Y < other.Y+other.Height && other.Y < w.Y+w.Height {
					c.bad("dashboard: %q lies on %q", w.Properties.Title, other.Properties.Title)
				}
			}
		}
		for id := range c.alarmed {
			if here := messaging || c.template.Resources[id].Condition == ""; here != slices.Contains(listed, "<"+id+".Arn>") {
				c.bad("dashboard: %s is missing, or there without its queue", id)
			}
		}
	}
	for f := range mine {
		if !shown[f] {
			c.bad("dashboard: does not show %s", f)
		}
	}
	return shown
}

func (c *check) grafana(text string, shown map[figure]bool) {
	var g grafana
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		c.bad("the Grafana dashboard is not JSON: %v", err)
		return
	}
	figures, faults := g.shown()
	c.found = append(c.found, faults...)
	for _, f := range figures {
		if !shown[f] {
			c.bad("Grafana: %s is not on the stack's dashboard", f)
		}
	}
	for f := range shown {
		if !slices.Contains(figures, f) {
			c.bad("Grafana: does not show %s", f)
		}
	}
}

func TestAlarmsAndDashboardsShowWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, fault := range readObservability(t).faults(t) {
		t.Error(fault)
	}
}

// A check that finds nothing must be able to find something.
func TestBrokenAlarmsAndDashboardsAreFound(t *testing.T) {
	t.Parallel()
	type text func(*observability) *string
	template := func(o *observability) *string { return &o.template }
	grafana := func(o *observability) *string { return &o.grafana }
	alarms := func(o *observability) *string { return &o.alarms }
	for name, c := range map[string]struct {
		in             text
		from, to, want string
	}{
		"a metric that nobody writes": {
			template, "MetricName: OldestAge", "MetricName: OldestAged",
			"nobody writes ServerlessOutbox OldestAged",
		},
		"an alarm that is gone": {
			template, "  HeartbeatAlarm:\n    Type: AWS::CloudWatch::Alarm", "  HeartbeatAlarm:\n    Type: AWS::CloudWatch::CompositeAlarm",
			"no alarm on ServerlessOutbox Heartbeat",
		},
		"an alarm of the janitor that is gone": {
			template, "      MetricName: PartitionsAhead\n", "      MetricName: Unsent\n",
			"no alarm on ServerlessOutbox PartitionsAhead",
		},
		"a dashboard that leaves a metric of the janitor out": {
			template, `["ServerlessOutbox", "XminAge",`, `["ServerlessOutbox", "DeadTuples",`,
			"dashboard: does not show ServerlessOutbox XminAge",
		},
		"a dimension that is not written": {
			template, "- Name: FunctionName", "- Name: Function",
			"by Function",
		},
		"another namespace": {
			template, "OUTBOX_RELAYS: !Ref Relays", "OUTBOX_RELAYS: !Ref Relays\n          OUTBOX_METRICS_NAMESPACE: Mine",
			"nobody writes ServerlessOutbox DeadLetters",
		},
		"an alarm without a description": {
			template, "AlarmDescription: A dead letter blocked its aggregate - ", "AlarmDescription: Blocked - ",
			"BlockedAlarm: has no description",
		},
		"missing data without a word": {
			template, "      TreatMissingData: ignore\n", "",
			`does not say why missing data is ""`,
		},
		"missing data for another reason": {
			template, "TreatMissingData: notBreaching", "TreatMissingData: missing",
			`does not say why missing data is "missing"`,
		},
		"missing data that would always alarm": {
			template, "TreatMissingData: notBreaching", "TreatMissingData: breaching",
			"is left out while it is 0",
		},
		"an alarm that nobody explains": {
			alarms, "### ThrottlesAlarm\n", "",
			"ThrottlesAlarm: has no section",
		},
		"an alarm without advice": {
			alarms, "What to do: ", "",
			"does not say what to do",
		},
		"an alarm that tells nobody": {
			template, "      AlarmActions: !If [Notifies, [!Ref AlarmTopicArn], !Ref AWS::NoValue]\n", "",
			"notifies nobody",
		},
		"dead letters that nobody watches": {
			template, "Value: !GetAtt ShippingDeadLetters.QueueName", "Value: !GetAtt ShippingQueue.QueueName",
			"no alarm on its dead letters in ShippingDeadLetters",
		},
		"a dashboard that is no JSON": {
			template, `"widgets": [`, `"widgets": `,
			"the dashboard is not JSON",
		},
		"a dashboard with an unknown metric": {
			template, `["ServerlessOutbox", "Late",`, `["ServerlessOutbox", "Later",`,
			"nobody writes ServerlessOutbox Later",
		},
		"a search for an unknown metric": {
			template, `MetricName=\"Concurrency\"`, `MetricName=\"Calls\"`,
			"nobody writes ServerlessOutbox Calls by Destination,FunctionName",
		},
		"a dashboard without an alarm": {
			template, `"${DeadLetterAlarm.Arn}", `, "",
			"dashboard: DeadLetterAlarm is missing",
		},
		"Grafana with an unknown metric": {
			grafana, `"metricName": "Gaps"`, `"metricName": "Holes"`,
			"ServerlessOutbox Holes by FunctionName is not on the stack's dashboard",
		},
		"Grafana with an unknown variable": {
			grafana, `"name": "topic"`, `"name": "theme"`,
			"no variable $topic",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := readObservability(t)
			changed := strings.Replace(*c.in(&broken), c.from, c.to, 1)
			if changed == *c.in(&broken) {
				t.Fatalf("there is no %q", c.from)
			}
			*c.in(&broken) = changed
			if faults := broken.faults(t); !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("faults %q, want one with %q", faults, c.want)
			}
		})
	}
}
