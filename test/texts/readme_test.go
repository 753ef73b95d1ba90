package texts_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// repository is the way to the root of the repository.
const repository = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents are the paths of README.md, CONTRIBUTING.md and every page in docs.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 2 {
		t.Fatalf("docs has %d pages", len(pages))
	}
	return append(pages, filepath.Join(repository, "README.md"), filepath.Join(repository, "CONTRIBUTING.md"))
}

// blocks returns the fenced blocks of a language, without their indentation.
func blocks(t *testing.T, document, language string) []string {
	t.Helper()
	var found []string
	var block []string
	fence := ""
	for line := range strings.Lines(read(t, document)) {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "" && trimmed == "```":
			if fence == "```"+language {
				found = append(found, strings.Join(block, "\n"))
			}
			fence, block = "", nil
		case fence != "":
			block = append(block, trimmed)
		case strings.HasPrefix(trimmed, "```"):
			fence = trimmed
		}
	}
	if fence != "" {
		t.Fatalf("%s: a block is not closed", document)
	}
	return found
}

func unindented(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// The Go code of the README is part of an example that has an Output, so that
// it was compiled and run.
func TestReadmeGoIsPartOfAnExampleThatRuns(t *testing.T) {
	t.Parallel()
	var examples []string
	for _, f := range strings.Split(read(t, repository+"/pkg/outbox/example_test.go"), "\nfunc ")[1:] {
		if strings.HasPrefix(f, "Example") && strings.Contains(f, "// Output:") {
			examples = append(examples, unindented(f))
		}
	}
	code := blocks(t, repository+"/README.md", "go")
	if len(code) == 0 {
		t.Fatal("README.md has no Go code")
	}
	for _, block := range code {
		if !slices.ContainsFunc(examples, func(e string) bool { return strings.Contains(e, block) }) {
			t.Errorf("no example in example_test.go contains:\n%s", block)
		}
	}
}

// The Go code of docs/consumers.md is part of an example that has an Output, too.
func TestCodeForConsumersIsPartOfAnExampleThatRuns(t *testing.T) {
	t.Parallel()
	example := unindented(read(t, repository+"/pkg/outbox/example_consumer_test.go"))
	code := append(blocks(t, repository+"/docs/consumers.md", "go"), blocks(t, repository+"/docs/consumers.md", "sql")...)
	if len(code) < 3 || !strings.Contains(example, "// Output:") {
		t.Fatalf("%d blocks of code", len(code))
	}
	for _, block := range code {
		if !strings.Contains(example, block) {
			t.Errorf("example_consumer_test.go does not contain:\n%s", block)
		}
	}
}

func TestReadmeSQLRuns(t *testing.T) {
	t.Parallel()
	code := blocks(t, repository+"/README.md", "sql")
	if len(code) == 0 {
		t.Fatal("README.md has no SQL")
	}
	conn, err := pgx.Connect(t.Context(), outboxtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	enqueued := 0
	for _, block := range code {
		if _, err = conn.PgConn().Exec(t.Context(), block).ReadAll(); err != nil {
			t.Errorf("%v:\n%s", err, block)
		}
		enqueued += strings.Count(block, "outbox.enqueue(")
	}
	var events int
	if err = conn.QueryRow(t.Context(), "select count(*) from outbox.events").Scan(&events); err != nil {
		t.Fatal(err)
	}
	if events != enqueued || events == 0 {
		t.Errorf("the SQL left %d events, it enqueues %d", events, enqueued)
	}
}

func TestReadmeListsEveryDocument(t *testing.T) {
	t.Parallel()
	_, list, _ := strings.Cut(read(t, repository+"/README.md"), "\n## Documents\n")
	for _, document := range documents(t) {
		path, err := filepath.Rel(repository, document)
		if err != nil {
			t.Fatal(err)
		}
		if row := "| [" + filepath.ToSlash(path) + "]("; path != "README.md" && !strings.Contains(list, row) {
			t.Errorf("README.md has no row for %s among its documents", path)
		}
	}
}

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	makePattern    = regexp.MustCompile(`(?m)^make ([^#\n]+)`)
	inlinePattern  = regexp.MustCompile("`make ([^`]+)`")
	targetPattern  = regexp.MustCompile(`(?m)^([a-z][a-zA-Z0-9-]*):`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

func TestDocumentsLinkToWhatExists(t *testing.T) {
	t.Parallel()
	links := 0
	for _, document := range documents(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(read(t, document), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := document
			if path != "" {
				target = filepath.Join(filepath.Dir(document), filepath.FromSlash(path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", document, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s links to %s: %s has no such heading", document, m[1], target)
			}
		}
	}
	if links == 0 {
		t.Error("no document has a link")
	}
}

// anchors are those that GitHub gives the headings of a page.
func anchors(t *testing.T, document string) []string {
	t.Helper()
	var found []string
	for _, m := range headingPattern.FindAllStringSubmatch(read(t, document), -1) {
		found = append(found, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return found
}

func TestDocumentsNameMakeTargetsThatExist(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, m := range targetPattern.FindAllStringSubmatch(read(t, repository+"/Makefile"), -1) {
		targets = append(targets, m[1])
	}
	named := 0
	for _, document := range append(documents(t), repository+"/localstack/README.md") {
		commands := inlinePattern.FindAllStringSubmatch(read(t, document), -1)
		for _, block := range blocks(t, document, "") {
			commands = append(commands, makePattern.FindAllStringSubmatch(block, -1)...)
		}
		for _, m := range commands {
			for target := range strings.FieldsSeq(m[1]) {
				if strings.Contains(target, "=") {
					continue
				}
				named++
				if !slices.Contains(targets, target) {
					t.Errorf("%s names make %s, which the Makefile does not have", document, target)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no document names a target")
	}
}
