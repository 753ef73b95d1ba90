package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const expandedPath = "testdata/expanded.json"

// The tests here read what SAM makes of the template; that file must be of this
// template.
func TestTheExpandedTemplateIsOfThisTemplate(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(expandedPath)
	if err != nil {
		t.Fatal(err)
	}
	var expanded struct {
		Metadata struct{ TemplateSHA256 string }
	}
	if err := json.Unmarshal(data, &expanded); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(source)
	if expanded.Metadata.TemplateSHA256 != hex.EncodeToString(sum[:]) {
		t.Error("template.yaml has changed: run make expand-template")
	}
}

func number(v any) int {
	n, _ := v.(int)
	return n
}

// scheduleFaults returns what is wrong with the schedules and invocations of a stack with that many relays. A
// relay counts as running while it has more than window left, and ends margin before its timeout.
func scheduleFaults(t *Template, relays string, margin, window time.Duration) []string {
	stack, err := t.Evaluate(Options{Parameters: map[string]string{"Relays": relays}})
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	ticks := map[string]int{}
	invoked := map[string]bool{}
	for id, r := range stack {
		note := func(format string, args ...any) { found = append(found, id+": "+fmt.Sprintf(format, args...)) }
		p := r.Properties
		switch r.Type {
		case "AWS::Scheduler::Schedule":
			target, _ := p["Target"].(map[string]any)
			retry, _ := target["RetryPolicy"].(map[string]any)
			window, _ := p["FlexibleTimeWindow"].(map[string]any)
			if p["Name"] != nil {
				note("has a name, the same in every stack")
			}
			if target["RoleArn"] != "${SchedulerRole.Arn}" {
				note("runs as %v", target["RoleArn"])
			}
			if number(retry["MaximumEventAgeInSeconds"]) != 60 || retry["MaximumRetryAttempts"] == nil || number(retry["MaximumRetryAttempts"]) > 1 {
				note("retries %v", retry)
			}
			if window["Mode"] != "OFF" {
				note("window %v", window)
			}
			function, _ := target["Arn"].(string)
			want := "rate(1 minute)"
			if function == "${JanitorFunction.Arn}" {
				want = "rate(5 minutes)"
			}
			if p["ScheduleExpression"] != want {
				note("runs at %v, want %s", p["ScheduleExpression"], want)
			}
			if p["State"] == "ENABLED" {
				ticks[function]++
			}
		case "AWS::Lambda::EventInvokeConfig":
			name, _ := p["FunctionName"].(string)
			invoked[strings.Trim(name, "${}")] = number(p["MaximumEventAgeInSeconds"]) == 60 && p["MaximumRetryAttempts"] == 0
		}
	}
	for id, r := range stack {
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		if !invoked[id] {
			found = append(found, id+": asynchronous events would be retried, or kept for longer than a minute")
		}
		if r.Properties["Role"] != "${"+strings.TrimSuffix(id, "Function")+"Role.Arn}" {
			found = append(found, id+": runs as "+text(r.Properties["Role"]))
		}
		logging, _ := r.Properties["LoggingConfig"].(map[string]any)
		if logging["LogFormat"] != "JSON" || logging["LogGroup"] != "${"+strings.TrimSuffix(id, "Function")+"LogGroup}" || logging["ApplicationLogLevel"] != "INFO" {
			found = append(found, fmt.Sprintf("%s: logs %v", id, logging))
		}
	}
	if ticks["${JanitorFunction.Arn}"] != 1 {
		found = append(found, "the janitor has no tick")
	}
	if janitor := stack["JanitorFunction"]; number(janitor.Properties["Timeout"]) >= 300 {
		found = append(found, "the janitor's runs pile up")
	}
	counts := time.Duration(number(stack["RelayFunction"].Properties["Timeout"]))*time.Second - margin - window
	kept := float64(ticks["${RelayFunction.Arn}"]) * counts.Minutes()
	// A fifth more, because one tick of several may be lost.
	if wanted := float64(int(relays[0] - '0')); kept < 1.2*wanted {
		found = append(found, fmt.Sprintf("%d ticks a minute keep %.1f relays up, want %v", ticks["${RelayFunction.Arn}"], kept, wanted))
	}
	return found
}

func TestSchedulesKeepTheRelaysUpAndLetNothingPileUp(t *testing.T) {
	t.Parallel()
	template, err := Load(expandedPath)
	if err != nil {
		t.Fatal(err)
	}
	const margin, window = boot.DefaultMargin, relay.DefaultJoinWindow
	for _, relays := range []string{"1", "2", "4", "8"} {
		for _, fault := range scheduleFaults(template, relays, margin, window) {
			t.Errorf("%s relays: %s", relays, fault)
		}
	}
	stack, err := template.Evaluate(Options{Parameters: map[string]string{"ScheduleState": "DISABLED", "Relays": "8"}})
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]bool{}
	for id, r := range stack {
		if r.Type == "AWS::Scheduler::Schedule" && r.Properties["State"] != "DISABLED" {
			t.Errorf("%s: ScheduleState DISABLED leaves it %v", id, r.Properties["State"])
		}
		if r.Type == "AWS::IAM::Role" {
			roles[id] = true
		}
	}
	if got := slices.Sorted(maps.Keys(roles)); !slices.Equal(got, []string{"JanitorRole", "RedriveRole", "RelayRole", "SchedulerRole"}) {
		t.Errorf("SAM made roles of its own: %v", got)
	}
}

func TestBrokenSchedulesAreFound(t *testing.T) {
	t.Parallel()
	const margin, window = boot.DefaultMargin, relay.DefaultJoinWindow
	set := func(id string, path ...any) func(*Template) {
		return func(template *Template) {
			at := template.Resources[id].Properties
			for _, key := range path[:len(path)-2] {
				name, _ := key.(string)
				at, _ = at[name].(map[string]any)
			}
			name, _ := path[len(path)-2].(string)
			at[name] = path[len(path)-1]
		}
	}
	for name, breakIt := range map[string]func(*Template){
		"every two minutes":     set("RelayFunctionTick", "ScheduleExpression", "rate(2 minutes)"),
		"a plural of one":       set("RelayFunctionTick", "ScheduleExpression", "rate(1 minutes)"),
		"disabled":              set("RelayFunctionTick", "State", "DISABLED"),
		"named":                 set("RelayFunctionTick", "Name", "RelayFunctionTick"),
		"retried for hours":     set("RelayFunctionTick", "Target", "RetryPolicy", "MaximumEventAgeInSeconds", 86400),
		"another target":        set("RelayFunctionTick", "Target", "Arn", "${RedriveFunction.Arn}"),
		"a flexible window":     set("JanitorFunctionTick", "FlexibleTimeWindow", "Mode", "FLEXIBLE"),
		"events kept for hours": set("RelayFunctionEventInvokeConfig", "MaximumEventAgeInSeconds", 21600),
		"events tried again":    set("RedriveFunctionEventInvokeConfig", "MaximumRetryAttempts", 2),
		"runs that are short":   set("RelayFunction", "Timeout", 180),
		"a janitor that piles up": func(template *Template) {
			set("JanitorFunction", "Timeout", 900)(template)
		},
		"the tick deleted":           func(template *Template) { delete(template.Resources, "RelayFunctionTick") },
		"the invoke config deleted":  func(template *Template) { delete(template.Resources, "JanitorFunctionEventInvokeConfig") },
		"text logs, without a level": set("RelayFunction", "LoggingConfig", map[string]any{"LogFormat": "Text"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template, err := Load(expandedPath)
			if err != nil {
				t.Fatal(err)
			}
			breakIt(template)
			if len(scheduleFaults(template, "1", margin, window)) == 0 {
				t.Error("it was not found")
			}
		})
	}
}

func TestParametersExplainThemselves(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(expandedPath)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	var expanded struct {
		Parameters map[string]struct {
			Type, Description, AllowedPattern string
			Default                           any
			AllowedValues                     []any
			MinValue                          *int
			NoEcho                            bool
		}
	}
	if err := json.Unmarshal(data, &expanded); err != nil {
		t.Fatal(err)
	}
	groups, _, _ := strings.Cut(string(source), "\nParameters:")
	for name, p := range expanded.Parameters {
		if p.Description == "" || p.Default == nil {
			t.Errorf("%s has no description or no default", name)
		}
		if p.AllowedPattern == "" && p.AllowedValues == nil && p.MinValue == nil {
			t.Errorf("%s takes anything", name)
		}
		if pattern, err := regexp.Compile(p.AllowedPattern); err != nil || !pattern.MatchString(text(p.Default)) {
			t.Errorf("%s: its default does not match its pattern: %v", name, err)
		}
		if strings.Contains(name, "Url") && strings.Contains(name, "Database") && !p.NoEcho {
			t.Errorf("%s may hold a password and is shown", name)
		}
		if !regexp.MustCompile(`[\[ -]` + name + `[\],\n]`).MatchString(groups) {
			t.Errorf("%s is in no group of the console's form", name)
		}
	}
}
