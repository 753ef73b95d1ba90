package boot

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var update = flag.Bool("update", false, "write the generated part of docs/configuration.md")

// settings returns the plain fields of c.
func settings(c relay.Config) map[string]string {
	found := map[string]string{}
	for f, v := range reflect.ValueOf(c).Fields() {
		if !f.IsExported() {
			continue
		}
		switch f.Name {
		case "RelayID", "Name", "Destinations", "Observer", "Logger":
		default:
			found[f.Name] = fmt.Sprint(v.Interface())
		}
	}
	return found
}

// The tables in the document are the tags of the structs.
func TestConfigurationIsDocumented(t *testing.T) {
	t.Parallel()
	const path = "../../docs/configuration.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- variables: begin -->\n", "<!-- variables: end -->\n"
	head, rest, ok := strings.Cut(string(content), begin)
	if !ok {
		t.Fatalf("%s has no %q", path, begin)
	}
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no %q", path, end)
	}
	want := head + begin + table() + end + tail
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

func table() string {
	var b strings.Builder
	b.WriteString("\n| Variable | Default | Meaning |\n| --- | --- | --- |\n")
	for _, v := range Variables[Relay]() {
		def := ""
		if v.Default != "" {
			def = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s. |\n", v.Name, def, v.Help)
	}
	b.WriteString("\n")
	return b.String()
}

func TestEveryVariableHasHelp(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, v := range Variables[Relay]() {
		if v.Help == "" || strings.HasSuffix(v.Help, ".") || seen[v.Name] || seen[v.field] {
			t.Errorf("%+v: no help, or it ends with a dot, or the name comes twice", v)
		}
		seen[v.Name], seen[v.field] = true, true
	}
}
