package boot

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

func janitorEnviron(more ...string) map[string]string {
	m := environ(more...)
	delete(m, "OUTBOX_DESTINATIONS")
	return m
}

func janitorSettings(c janitor.Config) map[string]string {
	found := map[string]string{}
	for f, v := range reflect.ValueOf(c).Fields() {
		switch f.Name {
		case "Target", "Observer", "Logger", "RetryMin", "Reserve":
		default:
			found[f.Name] = fmt.Sprint(v.Interface())
		}
	}
	return found
}

func TestDefaultsAreThoseOfTheJanitor(t *testing.T) {
	t.Parallel()
	j, err := Parse[Janitor](janitorEnviron())
	if err != nil {
		t.Fatal(err)
	}
	want := janitor.Config{
		Ahead: janitor.DefaultAhead, AheadFor: janitor.DefaultAheadFor, MaxAhead: janitor.DefaultMaxAhead,
		Retention: janitor.DefaultRetention, KeepPartitions: janitor.DefaultKeepPartitions, MoveLimit: janitor.DefaultMoveLimit,
		ExportRows: janitor.DefaultExportRows, ExportBytes: janitor.DefaultExportBytes,
		AlarmAge: janitor.DefaultAlarmAge, Attempts: janitor.DefaultAttempts,
	}
	if a, b := janitorSettings(j.Config()), janitorSettings(want); !maps.Equal(a, b) {
		t.Errorf("got  %v\nwant %v", a, b)
	}
}

func TestEveryVariableReachesTheJanitor(t *testing.T) {
	t.Parallel()
	base, err := Parse[Janitor](janitorEnviron())
	if err != nil {
		t.Fatal(err)
	}
	tuned := []string{
		"OUTBOX_RETENTION", "25h", "OUTBOX_KEEP_PARTITIONS", "7", "OUTBOX_MOVE_LIMIT", "8", "OUTBOX_ARCHIVE_RETENTION", "26h",
		"OUTBOX_DEAD_LETTER_RETENTION", "27h", "OUTBOX_EXPORT_PREFIX", "p", "OUTBOX_EXPORT_BUCKET", "b", "OUTBOX_EXPORT_ROWS", "9",
		"OUTBOX_EXPORT_BYTES", "10", "OUTBOX_AHEAD", "4", "OUTBOX_AHEAD_FOR", "28h", "OUTBOX_MAX_AHEAD", "11",
		"OUTBOX_ALARM_AGE", "12m", "OUTBOX_LOCK_ATTEMPTS", "13",
	}
	j, err := Parse[Janitor](janitorEnviron(tuned...))
	if err != nil {
		t.Fatal(err)
	}
	before, after := janitorSettings(base.Config()), janitorSettings(j.Config())
	for name := range before {
		if before[name] == after[name] {
			t.Errorf("%s did not change", name)
		}
	}
}

func TestAnExportThatNothingNeedsIsRefused(t *testing.T) {
	t.Parallel()
	for name, environ := range map[string]map[string]string{
		"OUTBOX_EXPORT_BUCKET": janitorEnviron("OUTBOX_EXPORT_BUCKET", "b"),
		"OUTBOX_EXPORT_PREFIX": janitorEnviron("OUTBOX_EXPORT_PREFIX", "p"),
		"OUTBOX_MARGIN":        janitorEnviron("OUTBOX_MARGIN", "10ms"),
	} {
		if _, err := Parse[Janitor](environ); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestConfigurationOfTheJanitorIsDocumented(t *testing.T) {
	t.Parallel()
	const path = "../../docs/configuration.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Those of the database and the process are the relay's.
	known := map[string]bool{}
	for _, v := range Variables[Relay]() {
		known[v.Name] = v.Name != "OUTBOX_MARGIN"
	}
	var b strings.Builder
	b.WriteString("\n| Variable | Default | Meaning |\n| --- | --- | --- |\n")
	for _, v := range Variables[Janitor]() {
		if known[v.Name] {
			continue
		}
		def := ""
		if v.Default != "" {
			def = "`" + v.Default + "`"
		}
		if v.Help == "" || strings.HasSuffix(v.Help, ".") {
			t.Errorf("%s has no help, or it ends with a dot", v.Name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s. |\n", v.Name, def, v.Help)
	}
	b.WriteString("\n")
	const begin, end = "<!-- janitor variables: begin -->\n", "<!-- janitor variables: end -->\n"
	head, rest, _ := strings.Cut(string(content), begin)
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no %q", path, begin+end)
	}
	want := head + begin + b.String() + end + tail
	if string(content) == want {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the variables in the code: run: go test ./internal/boot -run Documented -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}
