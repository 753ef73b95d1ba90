package texts_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rowPattern = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$")

// layout returns the folders that the first table of a document under a heading
// names, each in a row of its own.
func layout(t *testing.T, document, heading string) []string {
	t.Helper()
	_, section, found := strings.Cut(read(t, filepath.Join(repository, document)), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", document, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var folders []string
	for _, m := range rowPattern.FindAllStringSubmatch(section, -1) {
		folders = append(folders, m[1])
	}
	if len(folders) < 5 {
		t.Fatalf("the table of %s has %d folders", document, len(folders))
	}
	return folders
}

// folders returns the folders of the repository with Go code, of all modules.
func folders(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, file := range files(t, ".go") {
		if dir := path.Dir(file); !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	}
	return found
}

// files returns the files of the repository that end in one of the suffixes,
// relative to its root, but for those in testdata and in folders that are
// hidden or built.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(repository), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || name == "build" || name != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case !d.IsDir() && slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }):
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("%d files end in %v", len(found), suffixes)
	}
	return found
}

func TestTheTreeOfTheDocumentsIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	code := folders(t)
	var rooms []string
	for _, folder := range code {
		room, _, _ := strings.Cut(folder, "/")
		if !slices.Contains(rooms, room) {
			rooms = append(rooms, room)
		}
	}
	for _, c := range []struct {
		document, heading string
		want              []string
	}{
		{"docs/architecture.md", "The tree", code},
		{"README.md", "The code", rooms},
	} {
		got := layout(t, c.document, c.heading)
		for _, folder := range got {
			if !slices.Contains(c.want, folder) {
				t.Errorf("%s has a row for %s, which has no Go code", c.document, folder)
			}
		}
		for _, folder := range c.want {
			if !slices.Contains(got, folder) {
				t.Errorf("%s has no row for %s", c.document, folder)
			}
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(got))); len(sorted) != len(got) {
			t.Errorf("%s names a folder twice", c.document)
		}
	}
}

var codePattern = regexp.MustCompile("`([^`]+)`")

// quoted returns what stands in backquotes.
func quoted(text string) []string {
	var found []string
	for _, m := range codePattern.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

var (
	pathPattern = regexp.MustCompile("^(?:pkg|internal|functions|cmd|test|bench|localstack|deploy|docs)/[a-zA-Z0-9_./-]+$")
	filePattern = regexp.MustCompile(`^[a-z_/]+\.(?:go|sql)$`)
)

// A document may be read long after a file was renamed. A file without a folder
// is in that of the path before it in the line.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	named := 0
	for _, document := range append(documents(t), repository+"/localstack/README.md") {
		for line := range strings.Lines(read(t, document)) {
			folder := ""
			for _, text := range quoted(line) {
				switch {
				case pathPattern.MatchString(text):
					folder = path.Dir(text)
				case folder != "" && filePattern.MatchString(text):
					text = path.Join(folder, text)
				default:
					continue
				}
				named++
				if _, err := os.Stat(filepath.Join(repository, filepath.FromSlash(text))); err != nil {
					t.Errorf("%s names %s, which is not there", document, text)
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("the documents name %d files", named)
	}
}
