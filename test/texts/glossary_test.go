package texts_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// term is a row of the glossary.
type term struct {
	word    string
	refused []refusal // in names, comments, texts and SQL
	names   []refusal // as the whole name of what is declared
}

// refusal is words that some folders may not use.
type refusal struct {
	words   []string
	folders []string // none means all
	fields  bool     // only as names of types and fields
}

var refusalPattern = regexp.MustCompile("^(`[^:]+?`)(: types and fields)?(?: in (`.+`))?$")

// refusals reads a cell such as "`a`, `b` in `cmd`; `c`".
func refusals(t *testing.T, cell string) []refusal {
	t.Helper()
	var all []refusal
	for part := range strings.SplitSeq(cell, "; ") {
		if part == "" {
			continue
		}
		m := refusalPattern.FindStringSubmatch(part)
		if m == nil {
			t.Fatalf("not understood: %s", part)
		}
		all = append(all, refusal{words: quoted(m[1]), fields: m[2] != "", folders: quoted(m[3])})
	}
	return all
}

// in reports whether the refusal is for the folder of a file.
func (r refusal) in(file string) bool {
	return len(r.folders) == 0 || below(path.Dir(file), r.folders)
}

// glossary reads the tables of docs/glossary.md.
func glossary(t *testing.T) []term {
	t.Helper()
	var terms []term
	for line := range strings.Lines(read(t, repository+"/docs/glossary.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| word") || strings.HasPrefix(line, "| ---") {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("a row of the glossary has %d cells, want 5: %s", len(cells), line)
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "" || cells[1] == "" || len(quoted(cells[2])) != 1 {
			t.Errorf("a row of the glossary lacks a word, a meaning or the one place where it lives: %s", line)
		}
		terms = append(terms, term{cells[0], refusals(t, cells[3]), refusals(t, cells[4])})
	}
	if len(terms) < 20 {
		t.Fatalf("the glossary has %d words", len(terms))
	}
	return terms
}

// word is a word of a text, in lower case, and the line that it is in.
type word struct {
	text string
	line int
}

// split returns the words of a text that begins in a line. Names are split
// where their case changes, so that deadLetters is two words.
func split(text string, line int) []word {
	var words []word
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			words = append(words, word{strings.ToLower(b.String()), line})
			b.Reset()
		}
	}
	runes := []rune(text)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r):
			flush()
			if r == '\n' {
				line++
			}
			continue
		case i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			flush()
		}
		b.WriteRune(r)
	}
	flush()
	return words
}

// at returns where a phrase stands in words: the index of the first word of
// each occurrence. The last word may also stand in the plural.
func at(words, phrase []word, plural bool) []int {
	var found []int
	for i := 0; len(phrase) > 0 && i+len(phrase) <= len(words); i++ {
		same := true
		for j := range phrase {
			got, want := words[i+j].text, phrase[j].text
			same = same && (got == want || plural && j == len(phrase)-1 && got == want+"s")
		}
		if same {
			found = append(found, i)
		}
	}
	return found
}

// blank takes the defined words of more than one word out of words, so that a
// part of them is not taken for a refused word.
func blank(terms []term, words []word) []word {
	words = slices.Clone(words)
	for _, entry := range terms {
		phrase := split(entry.word, 0)
		if len(phrase) < 2 {
			continue
		}
		for _, i := range at(words, phrase, true) {
			for j := range phrase {
				words[i+j].text = ""
			}
		}
	}
	return words
}

// finding is a refused word in code.
type finding struct {
	file    string
	line    int
	refused string
	instead []string // the words that say it
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %q: say %q", f.file, f.line, f.refused, f.instead)
}

// add adds a finding, or one more word in place of one that was found already.
func add(found []finding, f finding) []finding {
	for i := range found {
		if found[i].line == f.line && found[i].refused == f.refused {
			if !slices.Contains(found[i].instead, f.instead[0]) {
				found[i].instead = append(found[i].instead, f.instead...)
			}
			return found
		}
	}
	return append(found, f)
}

// refusedIn finds refused words in the words of a file.
func refusedIn(terms []term, file string, words []word) []finding {
	words = blank(terms, words)
	var found []finding
	for _, entry := range terms {
		for _, r := range entry.refused {
			if !r.in(file) {
				continue
			}
			for _, w := range r.words {
				for _, i := range at(words, split(w, 0), false) {
					found = add(found, finding{file, words[i].line, w, []string{entry.word}})
				}
			}
		}
	}
	return found
}

// name is a declared name of a Go file.
type name struct {
	text  string
	line  int
	field bool // of a type or of a field of a struct
}

// refusedNamesIn finds declared names that are refused in the file's folder.
func refusedNamesIn(terms []term, file string, names []name) []finding {
	var found []finding
	for _, entry := range terms {
		for _, r := range entry.names {
			if !r.in(file) {
				continue
			}
			for _, n := range names {
				if slices.Contains(r.words, n.text) && (n.field || !r.fields) {
					found = add(found, finding{file, n.line, n.text, []string{entry.word}})
				}
			}
		}
	}
	return found
}

// goWords returns the words of a Go file's declared names, comments and texts,
// and the declared names themselves.
func goWords(t *testing.T, file, source string) ([]word, []name) {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lineOf := func(p token.Pos) int { return set.Position(p).Line }
	var words []word
	var names []name
	declare := func(field bool, idents ...*ast.Ident) {
		for _, id := range idents {
			names = append(names, name{id.Name, lineOf(id.Pos()), field})
		}
	}
	for _, group := range parsed.Comments {
		for _, c := range group.List {
			words = append(words, split(c.Text, lineOf(c.Pos()))...)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if text, unquoteErr := strconv.Unquote(n.Value); n.Kind == token.STRING && unquoteErr == nil {
				words = append(words, split(text, lineOf(n.Pos()))...)
			}
		case *ast.TypeSpec:
			declare(true, n.Name)
		case *ast.StructType:
			for _, f := range n.Fields.List {
				declare(true, f.Names...)
			}
		case *ast.InterfaceType:
			for _, f := range n.Methods.List {
				declare(false, f.Names...)
			}
		case *ast.FuncDecl:
			declare(false, n.Name)
			if n.Recv != nil {
				declare(false, n.Recv.List[0].Names...)
			}
		case *ast.FuncType:
			for _, list := range []*ast.FieldList{n.Params, n.Results} {
				if list != nil {
					for _, f := range list.List {
						declare(false, f.Names...)
					}
				}
			}
		case *ast.ValueSpec:
			declare(false, n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						declare(false, id)
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					declare(false, id)
				}
			}
		}
		return true
	})
	for _, n := range names {
		words = append(append(words, word{"", n.line}), split(n.text, n.line)...)
	}
	return words, names
}

// code returns the Go and SQL files of the repository outside of tests.
func code(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(files(t, ".go", ".sql"), func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func TestCodeKeepsToTheGlossary(t *testing.T) {
	t.Parallel()
	terms := glossary(t)
	for _, file := range code(t) {
		source := read(t, filepath.Join(repository, file))
		var found []finding
		if strings.HasSuffix(file, ".sql") {
			found = refusedIn(terms, file, split(source, 1))
		} else {
			words, names := goWords(t, file, source)
			found = append(refusedIn(terms, file, words), refusedNamesIn(terms, file, names)...)
		}
		slices.SortStableFunc(found, func(a, b finding) int { return a.line - b.line })
		for _, f := range found {
			t.Error(f)
		}
	}
}

// TestGlossaryFindsWhatItRefuses breaks the glossary once in each way, and keeps
// to it once.
func TestGlossaryFindsWhatItRefuses(t *testing.T) {
	t.Parallel()
	terms := glossary(t)
	for _, c := range []struct {
		file, source string
		want         []string
	}{
		{"a/a.go", "package a\n\n// The shard is held.\nvar x int\n", []string{"3 held"}},
		{"a/a.go", "package a\n\n// A lane that is on\n// hold.\nvar x int\n", []string{"3 on hold"}},
		{"a/a.go", "package a\n\nvar newCohort int\n", []string{"3 cohort"}},
		{"cmd/a.go", "package a\n\nvar text = `\nselect letter from dead_letters`\n", []string{"4 letter"}},
		{"a/a.go", "package a\n\n// A name has letters and digits.\nvar x int\n", nil},
		{"a/a.go", "package a\n\n// A dead letter, deadLetters and a dead-letter queue; withheld; left from waiting.\nvar left, from, hold int\n", nil},
		{"pkg/outbox/relay/a.go", "package relay\n\nfunc f(left int) { from := 1 }\n", []string{"3 left", "3 from"}},
		{"pkg/outbox/relay/a.go", "package relay\n\ntype lane struct{ waiting, From int }\n", []string{"3 waiting"}},
		{"internal/redrive/a.go", "package redrive\n\ntype Dead struct{ Dead int }\n", []string{"3 Dead"}},
		{"cmd/outbox/a.go", "package main\n\nconst Dead = \"dead\"\n\nfunc holds() {}\n", []string{"5 holds"}},
	} {
		words, names := goWords(t, c.file, c.source)
		var got []string
		for _, f := range append(refusedIn(terms, c.file, words), refusedNamesIn(terms, c.file, names)...) {
			got = append(got, fmt.Sprint(f.line, " ", f.refused))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\n%s\nfinds %q, want %q", c.file, c.source, got, c.want)
		}
	}
}

// actors are words for a person that a comment does not name: the state, the
// table or the caller is what a reader can look for.
var actors = regexp.MustCompile(`\b([Ss]omebody|[Nn]obody|[Ww]hoever|[Mm]eanwhile)\b`)

func TestCodeNamesNoUnknownActor(t *testing.T) {
	t.Parallel()
	for _, file := range code(t) {
		line := 0
		for text := range strings.Lines(read(t, filepath.Join(repository, file))) {
			line++
			if w := actors.FindString(text); w != "" {
				t.Errorf("%s:%d: %q: name the state, the table or the caller", file, line, w)
			}
		}
	}
}
