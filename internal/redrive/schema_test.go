package redrive_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

type schema struct {
	AdditionalProperties *bool
	Properties           map[string]property
	Examples             []json.RawMessage
}

type property struct {
	Type      string
	Enum      []string
	MinLength *int
	MaxLength *int
	MinItems  *int
	MaxItems  *int
	Minimum   *float64
	Maximum   *float64
}

func readSchema(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile("../../docs/redrive.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err = json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// fields returns the names that a request has in JSON.
func fields(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestTheSchemaHasTheFieldsOfARequest(t *testing.T) {
	t.Parallel()
	s := readSchema(t)
	want := fields(reflect.TypeFor[redrive.Request]())
	if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, want) {
		t.Errorf("the schema has %v, a request %v", got, want)
	}
	if s.AdditionalProperties == nil || *s.AdditionalProperties {
		t.Error("the schema allows what the decoder refuses")
	}
}

// Between them the examples have every field, and each is a valid request.
func TestTheExamplesOfTheSchemaAreRequests(t *testing.T) {
	t.Parallel()
	s := readSchema(t)
	shown := map[string]bool{}
	for _, text := range s.Examples {
		if _, err := redrive.Parse(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		var e map[string]json.RawMessage
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		for name := range e {
			shown[name] = true
		}
	}
	for name := range s.Properties {
		if !shown[name] {
			t.Errorf("no example has %s", name)
		}
	}
}

// What the schema says of a field is what the decoder does: a value of another
// type, and one beyond each bound, is refused by the name of the field.
func TestTheSchemaAndTheDecoderAgree(t *testing.T) {
	t.Parallel()
	other := map[string]string{"string": "1", "integer": `"1"`, "number": `"1"`, "boolean": `"true"`, "array": `"a"`}
	for name, p := range readSchema(t).Properties {
		refused := []string{other[p.Type]}
		if p.Type == "integer" {
			refused = append(refused, "1.5")
		}
		if len(p.Enum) > 0 {
			refused = append(refused, `"something else"`)
		}
		if p.MinLength != nil {
			refused = append(refused, fmt.Sprintf("%q", strings.Repeat("x", *p.MinLength-1)))
		}
		if p.MaxLength != nil {
			refused = append(refused, fmt.Sprintf("%q", strings.Repeat("x", *p.MaxLength+1)))
		}
		if p.MinItems != nil {
			refused = append(refused, "[]")
		}
		if p.MaxItems != nil {
			refused = append(refused, "["+strings.Repeat(`"`+someID+`",`, *p.MaxItems)+`"`+someID+`"]`)
		}
		if p.Minimum != nil {
			refused = append(refused, fmt.Sprint(*p.Minimum-1))
		}
		if p.Maximum != nil {
			refused = append(refused, fmt.Sprint(*p.Maximum+1))
		}
		for _, value := range refused {
			_, err := redrive.Parse(fmt.Appendf(nil, `{%q:%s}`, name, value))
			if err == nil || !strings.Contains(err.Error(), "\n"+name+": ") {
				t.Errorf("%s: %.60s: error %.200v", name, value, err)
			}
		}
	}
}

// The document shows every field of a request and of an answer, and its
// examples are requests.
func TestTheDocumentIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/redrive.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(fields(reflect.TypeFor[redrive.Request]()), fields(reflect.TypeFor[redrive.Answer]())...) {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the document lacks `%s`", name)
		}
	}
	_, block, _ := strings.Cut(string(text), "```json\n")
	block, _, _ = strings.Cut(block, "```")
	lines := strings.Split(strings.TrimSpace(block), "\n")
	for _, line := range lines {
		if _, err = redrive.Parse([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if len(lines) < 5 {
		t.Errorf("%d examples", len(lines))
	}
}
