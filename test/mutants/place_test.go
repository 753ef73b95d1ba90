package mutants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `package p

type list[T any] struct{ n int }

// Comments and odd formatting must not matter.
func (l *list[T]) add(a, b int) int {
	if  l.n==0   { // empty
		l.n = a
		return 1
	}
	switch {
	case a > b:
		l.n++
	}
	for i := range a {
		l.n += min( i,
			b)
	}
	if x := a; x > b {
		l.n = b
	}
	return l.n
}

func twice() int { return 1 + 1 }
`

// changed returns the sample after the edits.
func changed(t *testing.T, edits ...edit) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	for i := range edits {
		edits[i].folder = "."
	}
	m := &mutant{name: "sample", edits: edits}
	files, err := m.apply(dir, out)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(files[filepath.Join(dir, "p.go")])
	if err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

func TestAnEditFindsItsPlaceBySyntax(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit edit
		want string
	}{
		"an expression":                  {edit{function: "list.add", fragment: "l.n == 0", code: "false"}, "if  false   {"},
		"an if with any body":            {edit{function: "list.add", fragment: "if l.n == 0 {}", change: drop}, "int {\n\t\n\tswitch"},
		"an if with an initialisation":   {edit{function: "list.add", fragment: "if x > b {}", change: before, code: "a++"}, "\ta++\nif x := a; x > b {"},
		"any argument":                   {edit{function: "list.add", fragment: "min(_, b)", code: "i"}, "l.n += i\n"},
		"a statement":                    {edit{function: "list.add", fragment: "l.n++", code: "l.n--"}, "case a > b:\n\t\tl.n--"},
		"after a statement":              {edit{function: "list.add", fragment: "l.n = a", change: after, code: "l.n = 7"}, "l.n = a\nl.n = 7\n"},
		"the statement of an expression": {edit{function: "list.add", fragment: "min(_, _)", change: drop}, "range a {\n\t\t\n\t}"},
		"the beginning":                  {edit{function: "list.add", change: begin, code: "a = b"}, "add(a, b int) int {\na = b\n"},
		"a function without receiver":    {edit{function: "twice", fragment: "1 + 1", code: "2"}, "return 2 }"},
	} {
		text, err := changed(t, c.edit)
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%s: %v, want %q in\n%s", name, err, c.want, text)
		}
	}
}

func TestSeveralEditsOfOneFile(t *testing.T) {
	t.Parallel()
	text, err := changed(t,
		edit{function: "twice", fragment: "1 + 1", code: "3"},
		edit{function: "list.add", fragment: "l.n = b", change: drop},
		edit{function: "list.add", fragment: "return 1", code: "return 0"})
	if err != nil || !strings.Contains(text, "return 3 }") || !strings.Contains(text, "return 0\n") || strings.Contains(text, "l.n = b") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAnEditWithoutItsPlaceFailsByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edits []edit
		want  []string
	}{
		"no function":       {[]edit{{function: "add", fragment: "l.n == 0"}}, []string{`mutant "sample"`, "no function add", "these have it: list.add"}},
		"no fragment":       {[]edit{{function: "twice", fragment: "l.n == 0"}}, []string{"twice has 0 times", "these have it: list.add"}},
		"nowhere":           {[]edit{{function: "twice", fragment: "1 + 2"}}, []string{"no other function has it"}},
		"twice":             {[]edit{{function: "twice", fragment: "1", code: "2"}}, []string{"twice has 2 times"}},
		"no Go":             {[]edit{{function: "twice", fragment: "1 +", code: "2"}}, []string{"no Go"}},
		"two statements":    {[]edit{{function: "twice", fragment: "a++; b++", code: "2"}}, []string{"not one statement"}},
		"no Go afterwards":  {[]edit{{function: "twice", fragment: "1 + 1", code: "1 +"}}, []string{"p.go"}},
		"overlapping edits": {[]edit{{function: "list.add", fragment: "l.n == 0", code: "true"}, {function: "list.add", fragment: "if l.n == 0 {}", change: drop}}, []string{"overlap"}},
		"nothing to do":     {nil, []string{"changes nothing"}},
		"all of them":       {[]edit{{function: "a"}, {function: "b"}}, []string{"no function a", "no function b"}},
	} {
		_, err := changed(t, c.edits...)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}
