package boot

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var update = flag.Bool("update", false, "write the tables of variables into the documents")

// subject is a function whose variables are described in a document.
type subject struct {
	// document has the table behind the line <!-- part: begin -->.
	document, part string
	variables      []Variable
	// parsed is the configuration without a variable that has a default.
	parsed reflect.Value
	// handed is what the engine gets, and engine what it does without a setting. Both are
	// invalid where an engine has no settings.
	handed, engine reflect.Value
}

func subjects(t *testing.T) map[string]subject {
	t.Helper()
	r, err := Parse[Relay](environ())
	if err != nil {
		t.Fatal(err)
	}
	j, err := Parse[Janitor](janitorEnviron())
	if err != nil {
		t.Fatal(err)
	}
	redrive, err := Parse[Redrive](map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]subject{
		"relay": {
			"configuration.md", "variables", Variables[Relay](), reflect.ValueOf(r),
			reflect.ValueOf(r.Config()), reflect.ValueOf(relay.Config{}.WithDefaults()),
		},
		"janitor": {
			"configuration.md", "janitor variables", own(Variables[Janitor]()), reflect.ValueOf(j),
			reflect.ValueOf(j.Config()), reflect.ValueOf(janitor.Config{}.WithDefaults()),
		},
		"redrive": {"redrive.md", "variables", own(Variables[Redrive]()), reflect.ValueOf(redrive), reflect.Value{}, reflect.Value{}},
	}
}

// own returns the variables that are not described with those of the relay.
func own(variables []Variable) []Variable {
	of := map[string]bool{}
	for _, v := range Variables[Relay]() {
		of[v.Name] = true
	}
	var left []Variable
	for _, v := range variables {
		if !of[v.Name] {
			left = append(left, v)
		}
	}
	return left
}

func read(t *testing.T, document string) (content, path string) {
	t.Helper()
	path = "../../docs/" + document
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), path
}

// Every default is the one constant: what a function runs with, what its engine takes for a
// setting that is zero, what the error of a wrong value says, and what the document says.
func TestEveryDefaultStandsOnce(t *testing.T) {
	t.Parallel()
	known := meanings()
	checked := 0
	for name, s := range subjects(t) {
		document, path := read(t, s.document)
		for _, v := range s.variables {
			constant := known[v.Name].value
			if constant == nil {
				continue
			}
			checked++
			if got := s.parsed.FieldByName(v.field).Interface(); got != constant {
				t.Errorf("%s: %s: the function runs with %v, the constant is %v", name, v.Name, got, constant)
			}
			if s.engine.IsValid() && s.engine.FieldByName(v.field).IsValid() {
				if got, handed := s.engine.FieldByName(v.field).Interface(), s.handed.FieldByName(v.field).Interface(); got != constant || handed != constant {
					t.Errorf("%s: %s: the engine's default is %v, it gets %v, the constant is %v", name, v.Name, got, handed, constant)
				}
			}
			shown := text(constant)
			if !strings.Contains(v.help(), "(default "+shown+")") {
				t.Errorf("%s: help %q does not show %s", v.Name, v.help(), shown)
			}
			if row := "| `" + v.Name + "` | `" + shown + "` | "; !strings.Contains(document, row) {
				t.Errorf("%s does not show the default of %s as %s", path, v.Name, shown)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d defaults were checked", checked)
	}
}

// What an engine gets is what the function parsed, for each setting that has a variable.
func TestEveryVariableReachesItsEngine(t *testing.T) {
	t.Parallel()
	r, err := Parse[Relay](environ(
		"OUTBOX_RELAYS", "3", "OUTBOX_CONCURRENCY", "4", "OUTBOX_WINDOW_BYTES", "6", "OUTBOX_POLL_IDLE", "9ms",
		"OUTBOX_MAX_ATTEMPTS", "-1", "OUTBOX_IDLE_EXIT", "16s"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := Parse[Janitor](janitorEnviron(
		"OUTBOX_RETENTION", "25h", "OUTBOX_KEEP_PARTITIONS", "7", "OUTBOX_ARCHIVE_RETENTION", "26h", "OUTBOX_DEAD_LETTER_RETENTION", "27h",
		"OUTBOX_EXPORT_BUCKET", "b", "OUTBOX_EXPORT_PREFIX", "p", "OUTBOX_AHEAD", "4", "OUTBOX_ALARM_AGE", "12m"))
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]struct {
		variables              []Variable
		parsed, handed, engine any
	}{
		"relay":   {Variables[Relay](), r, r.Config(), relay.Config{}.WithDefaults()},
		"janitor": {Variables[Janitor](), j, j.Config(), janitor.Config{}.WithDefaults()},
	} {
		handed, reached := reflect.ValueOf(of.handed), 0
		for _, v := range of.variables {
			to := handed.FieldByName(v.field)
			if !to.IsValid() || v.Name == "OUTBOX_DESTINATIONS" {
				continue
			}
			reached++
			parsed := reflect.ValueOf(of.parsed).FieldByName(v.field).Interface()
			if got := to.Interface(); got != parsed || got == reflect.ValueOf(of.engine).FieldByName(v.field).Interface() {
				t.Errorf("%s: %s: the engine gets %v, %v was parsed", name, v.Name, got, parsed)
			}
		}
		if reached != 6 {
			t.Errorf("%s: %d variables reach the engine", name, reached)
		}
	}
	if j.Config().Prefix != "p" {
		t.Errorf("prefix %q", j.Config().Prefix)
	}
}

func TestVariablesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"configuration.md", "redrive.md"} {
		content, path := read(t, document)
		want := content
		for _, s := range subjects(t) {
			if s.document != document {
				continue
			}
			begin, end := "<!-- "+s.part+": begin -->\n", "<!-- "+s.part+": end -->\n"
			head, rest, opened := strings.Cut(want, begin)
			_, tail, closed := strings.Cut(rest, end)
			if !opened || !closed {
				t.Fatalf("%s has no %q", path, begin+end)
			}
			want = head + begin + tableOf(s.variables) + end + tail
		}
		if content == want {
			continue
		}
		if !*update {
			t.Errorf("%s differs from the variables in the code: run: go test ./internal/boot -run Documented -update", path)
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func tableOf(variables []Variable) string {
	var b strings.Builder
	b.WriteString("\n| Variable | Default | Meaning |\n| --- | --- | --- |\n")
	for _, v := range variables {
		shown := ""
		if v.Default != "" {
			shown = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s. |\n", v.Name, shown, v.Meaning)
	}
	b.WriteString("\n")
	return b.String()
}

// Documents and the template speak of no variable that is gone.
func TestOnlyVariablesThatExistAreSpokenOf(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	paths = append(paths, "../../README.md", "../../CHANGELOG.md", "../../template.yaml", "../../samconfig.toml")
	known, named := meanings(), 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bOUTBOX_[A-Z_]+\b`).FindAllString(string(content), -1) {
			named++
			if _, ok := known[name]; !ok && !strings.HasPrefix(name, "OUTBOX_TEST_") {
				t.Errorf("%s names %s, which no function reads", path, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d names were looked at", named)
	}
}

// Each variable is described, and each description is of a variable.
func TestEveryVariableHasAMeaning(t *testing.T) {
	t.Parallel()
	described := meanings()
	for _, variables := range [][]Variable{Variables[Relay](), Variables[Janitor](), Variables[Redrive]()} {
		seen := map[string]bool{}
		for _, v := range variables {
			if v.Meaning == "" || strings.HasSuffix(v.Meaning, ".") || seen[v.Name] || seen[v.field] {
				t.Errorf("%+v: no meaning, or it ends with a dot, or the name comes twice", v)
			}
			seen[v.Name], seen[v.field] = true, true
		}
		for name := range seen {
			delete(described, name)
		}
	}
	for name := range described {
		t.Errorf("%s is described, and no function reads it", name)
	}
}
