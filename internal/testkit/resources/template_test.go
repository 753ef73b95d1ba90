package resources

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const templatePath = "../../../template.yaml"

// faults returns what is wrong with a template that cfn-lint does not see.
func faults(t *Template) []string {
	var found []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		r := t.Resources[id]
		note := func(format string, args ...any) { found = append(found, id+": "+fmt.Sprintf(format, args...)) }
		switch r.Type {
		case "AWS::SNS::Topic":
			// The values are listed on the page of CreateTopic.
			if scope := text(r.Properties["FifoThroughputScope"]); scope != "MessageGroup" {
				note("FifoThroughputScope is %q, want MessageGroup", scope)
			}
			fifoName(r, "TopicName", note)
		case "AWS::SQS::Queue":
			scope := text(r.Properties["DeduplicationScope"])
			if text(r.Properties["FifoThroughputLimit"]) == "perMessageGroupId" && scope != "messageGroup" {
				note("FifoThroughputLimit perMessageGroupId needs DeduplicationScope messageGroup, not %q", scope)
			}
			fifoName(r, "QueueName", note)
		case "AWS::SNS::Subscription":
			if r.Properties["RedrivePolicy"] == nil {
				note("no RedrivePolicy: SNS would drop what the queue refuses")
			}
		case "AWS::Serverless::Function":
			events, err := mapping(r.Properties, "Events")
			if err != nil {
				note("%v", err)
			}
			for name := range events {
				schedule(events, name, note)
			}
		}
	}
	return found
}

func fifoName(r Resource, property string, note func(string, ...any)) {
	name := r.Properties[property]
	if m, ok := name.(map[string]any); ok {
		name = m["Fn::Sub"]
	}
	if !strings.HasSuffix(text(name), ".fifo") {
		note("%s %q does not end in .fifo", property, text(name))
	}
}

var rate = regexp.MustCompile(`^rate\((\d+) (minute|hour|day)(s?)\)$`)

func schedule(events map[string]any, name string, note func(string, ...any)) {
	event, err := mapping(events, name)
	if err != nil {
		note("%v", err)
		return
	}
	if kind := text(event["Type"]); kind == "Schedule" {
		note("event %s is an EventBridge rule, a legacy feature; use ScheduleV2", name)
	} else if kind != "ScheduleV2" {
		return
	}
	properties, err := mapping(event, "Properties")
	if err != nil {
		note("%v", err)
		return
	}
	if properties["OmitName"] != true {
		note("event %s has no OmitName: its name is the same in every stack", name)
	}
	if properties["RetryPolicy"] == nil {
		note("event %s has no RetryPolicy: a tick would be retried for 24 hours", name)
	}
	expression := text(properties["ScheduleExpression"])
	if strings.HasPrefix(expression, "cron(") {
		return
	}
	parts := rate.FindStringSubmatch(expression)
	// EventBridge wants the singular for 1 and the plural for more.
	if parts == nil || (parts[1] == "1") != (parts[3] == "") {
		note("event %s: bad expression %q", name, expression)
	}
}

func TestTemplateHasNoFaultThatCfnLintMisses(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, r := range template.Resources {
		counts[r.Type]++
	}
	for _, kind := range []string{"AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::SNS::Subscription", "AWS::Serverless::Function"} {
		if counts[kind] == 0 {
			t.Errorf("the template has no %s", kind)
		}
	}
	for _, fault := range faults(template) {
		t.Error(fault)
	}
}

func TestFaultsThatCfnLintMissesAreFound(t *testing.T) {
	t.Parallel()
	const good = `
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: { TopicName: t.fifo, FifoThroughputScope: MessageGroup }
  Queue:
    Type: AWS::SQS::Queue
    Properties: { QueueName: q.fifo, DeduplicationScope: messageGroup, FifoThroughputLimit: perMessageGroupId }
  Subscription:
    Type: AWS::SNS::Subscription
    Properties: { RedrivePolicy: {} }
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Tick:
          Type: ScheduleV2
          Properties: { ScheduleExpression: rate(1 minute), OmitName: true, RetryPolicy: {} }
`
	for _, c := range []struct{ name, old, bad string }{
		{"nothing wrong", "", ""},
		{"unknown throughput scope", "FifoThroughputScope: MessageGroup", "FifoThroughputScope: Bogus"},
		{"throughput per topic", "FifoThroughputScope: MessageGroup", "FifoThroughputScope: Topic"},
		{"high throughput with queue scope", "DeduplicationScope: messageGroup", "DeduplicationScope: queue"},
		{"queue name without .fifo", "q.fifo", "q"},
		{"subscription without dead letters", "Properties: { RedrivePolicy: {} }", "Properties: {}"},
		{"plural of one", "rate(1 minute)", "rate(1 minutes)"},
		{"singular of two", "rate(1 minute)", "rate(2 minute)"},
		{"seconds", "rate(1 minute)", "rate(30 seconds)"},
		{"named schedule", "OmitName: true", "OmitName: false"},
		{"endless retries", ", RetryPolicy: {} }", "}"},
		{"legacy schedule", "Type: ScheduleV2", "Type: Schedule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(good, c.old) {
				t.Fatalf("%q is not in the template", c.old)
			}
			template, err := Parse([]byte(strings.Replace(good, c.old, c.bad, 1)))
			if err != nil {
				t.Fatal(err)
			}
			found := faults(template)
			want := 1
			if c.old == "" {
				want = 0
			}
			if len(found) != want {
				t.Errorf("found %q, want %d", found, want)
			}
		})
	}
}

func TestTheFunctionsReadEveryVariableOfTheTemplate(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("../../../internal/boot/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	checked := 0
	for id, r := range template.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		environment, err := mapping(r.Properties, "Environment")
		if err != nil {
			t.Fatal(err)
		}
		variables, err := mapping(environment, "Variables")
		if err != nil {
			t.Fatal(err)
		}
		for name := range variables {
			if !strings.HasPrefix(name, "OUTBOX_") {
				continue
			}
			checked++
			if !regexp.MustCompile(`env:"` + name + `[",]`).MatchString(source.String()) {
				t.Errorf("%s sets %s, which no function reads", id, name)
			}
		}
	}
	if checked == 0 {
		t.Error("the template sets no variable")
	}
}

func TestEveryFunctionIsBuiltByTheMakefileAndHasALogGroup(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	for id, r := range template.Resources {
		if r.Type != "AWS::Serverless::Function" {
			continue
		}
		if !makefileHas(t, "build-"+id) {
			t.Errorf("the Makefile has no target build-%s", id)
		}
		if r.Properties["LoggingConfig"] == nil {
			t.Errorf("%s has no LoggingConfig: its logs would be kept for ever", id)
		}
	}
}
