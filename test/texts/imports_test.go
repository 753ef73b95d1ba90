package texts_test

import (
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/serverless-outbox/serverless-outbox"

// rule says what the packages of some folders may not import. Folders and
// refused paths name what is below them as well; one that begins with "./" is of
// this repository.
type rule struct {
	folders []string
	but     []string // folders that the rule leaves out
	exactly bool     // the rule is for the folders and not for what is below
	refused []string
}

// rules are those of .golangci.yaml.
func rules() map[string]rule {
	const aws, pgx = "github.com/aws", "github.com/jackc"
	reports := []string{"./internal/telemetry", "./internal/tracing"}
	awsFolders := []string{
		"./pkg/outbox/snssink", "./pkg/outbox/sqssink", "./pkg/outbox/awsclient",
		"./internal/aws", "./internal/redrive/sqsdlq", "./internal/janitor/s3export",
	}
	postgresFolders := []string{"./pkg/outbox/pgstore", "./internal/pgadmin", "./internal/pgdb"}
	testSupport := []string{"./internal/testkit", "./pkg/outbox/outboxtest", "./test", "./bench", "./localstack"}
	return map[string]rule{
		"the vocabulary is below all": {
			folders: []string{"./pkg/outbox"}, exactly: true,
			refused: []string{aws, "github.com/jackc/pgx/v5/pgxpool", "./"},
		},
		"the library is below the programs": {
			folders: []string{"./pkg"},
			refused: []string{"github.com/aws/aws-lambda-go", "go.opentelemetry.io/otel/sdk", "./functions", "./cmd", "./internal/boot", "./internal/host", "./localstack", "./test", "./bench"},
		},
		"engines know contracts only": {
			folders: []string{"./pkg/outbox/relay", "./internal/redrive", "./internal/janitor"},
			but:     []string{"./internal/redrive/sqsdlq", "./internal/janitor/s3export"},
			refused: slices.Concat([]string{aws, pgx, "./internal/boot"}, awsFolders, postgresFolders, reports),
		},
		"PostgreSQL is one technology": {
			folders: postgresFolders,
			refused: slices.Concat([]string{aws, "./internal/boot"}, awsFolders, reports),
		},
		"the store is what a relay needs": {
			folders: []string{"./pkg/outbox/pgstore"},
			refused: []string{"./internal/pgadmin", "./internal/janitor", "./internal/redrive"},
		},
		"AWS is one technology": {
			folders: awsFolders,
			refused: slices.Concat([]string{pgx, "./internal/boot"}, postgresFolders, reports),
		},
		"SNS is apart from SQS": {folders: []string{"./pkg/outbox/snssink"}, refused: []string{"./pkg/outbox/sqssink"}},
		"SQS is apart from SNS": {folders: []string{"./pkg/outbox/sqssink"}, refused: []string{"./pkg/outbox/snssink"}},
		"reports are one technology": {
			folders: reports,
			refused: slices.Concat([]string{aws, pgx, "./internal/boot"}, awsFolders, postgresFolders),
		},
		"what is shipped imports no test support": {
			folders: []string{"./pkg", "./internal", "./functions", "./cmd"},
			but:     []string{"./internal/testkit", "./pkg/outbox/outboxtest"},
			refused: testSupport,
		},
		"only functions and internal/boot know Lambda": {
			folders: []string{"./"},
			but:     slices.Concat([]string{"./functions", "./internal/host", "./internal/boot"}, testSupport),
			refused: []string{"github.com/aws/aws-lambda-go"},
		},
	}
}

// below reports whether a path is one of the folders or below one of them.
func below(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return path == f || strings.HasPrefix(path, strings.TrimSuffix(f, "/")+"/")
	})
}

// refuses reports whether pkg may not import the path imported.
func (r rule) refuses(pkg, imported string) bool {
	of := below(pkg, r.folders)
	if r.exactly {
		of = slices.Contains(r.folders, pkg)
	}
	return of && !below(pkg, r.but) && below(imported, r.refused)
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, file := range files(t, ".go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, filepath.Join(repository, file)), parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		pkg := "./" + path.Dir(file)
		for name, r := range rules() {
			used[name] = used[name] || below(pkg, r.folders)
			for _, spec := range parsed.Imports {
				imported := strings.Replace(strings.Trim(spec.Path.Value, `"`), module, ".", 1)
				if r.refuses(pkg, imported) {
					t.Errorf("%s imports %s: %s", file, imported, name)
				}
			}
		}
	}
	for name := range rules() {
		if !used[name] {
			t.Errorf("no package is under the rule %q", name)
		}
	}
}

// TestRulesRefuseTheirBreach breaks each rule once, and keeps to it once.
func TestRulesRefuseTheirBreach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, pkg, refused, allowed string }{
		{"the vocabulary is below all", "./pkg/outbox", "./pkg/outbox/relay", "github.com/jackc/pgx/v5"},
		{"the library is below the programs", "./pkg/outbox/pgstore", "./internal/boot", "./pkg/outbox/relay"},
		{"engines know contracts only", "./internal/redrive/rows", "github.com/jackc/pgx/v5", "./pkg/outbox"},
		{"engines know contracts only", "./pkg/outbox/relay", "./pkg/outbox/sqssink", "./pkg/outbox"},
		{"PostgreSQL is one technology", "./pkg/outbox/pgstore", "github.com/aws/aws-sdk-go-v2/aws", "github.com/jackc/pgx/v5/pgxpool"},
		{"the store is what a relay needs", "./pkg/outbox/pgstore", "./internal/redrive/rows", "./pkg/outbox/relay"},
		{"AWS is one technology", "./internal/redrive/sqsdlq", "./pkg/outbox/pgstore", "./internal/redrive"},
		{"reports are one technology", "./internal/tracing", "./pkg/outbox/sqssink", "./pkg/outbox"},
		{"SNS is apart from SQS", "./pkg/outbox/snssink", "./pkg/outbox/sqssink", "./internal/aws/batch"},
		{"SQS is apart from SNS", "./pkg/outbox/sqssink", "./pkg/outbox/snssink", "./internal/aws/batch"},
		{"what is shipped imports no test support", "./internal/boot", "./internal/testkit/memory", "./internal/telemetry"},
		{"what is shipped imports no test support", "./functions/relay", "./test/texts", "./internal/boot"},
		{"only functions and internal/boot know Lambda", "./internal/telemetry", "github.com/aws/aws-lambda-go/lambda", "./pkg/outbox"},
	} {
		r, known := rules()[c.rule]
		if !known {
			t.Errorf("there is no rule %q", c.rule)
		}
		if !r.refuses(c.pkg, c.refused) {
			t.Errorf("%q lets %s import %s", c.rule, c.pkg, c.refused)
		}
		if r.refuses(c.pkg, c.allowed) {
			t.Errorf("%q refuses that %s imports %s", c.rule, c.pkg, c.allowed)
		}
	}
	for _, exempt := range []struct{ rule, pkg, imported string }{
		{"engines know contracts only", "./internal/redrive/sqsdlq", "github.com/aws/smithy-go"},
		{"what is shipped imports no test support", "./pkg/outbox/outboxtest", "./internal/testkit/pgserver"},
		{"the vocabulary is below all", "./pkg/outbox/relay", "./pkg/outbox"},
	} {
		if rules()[exempt.rule].refuses(exempt.pkg, exempt.imported) {
			t.Errorf("%q refuses that %s imports %s", exempt.rule, exempt.pkg, exempt.imported)
		}
	}
}

// TestDependencies looks at all that is linked, and not only at what a package
// imports itself: the vocabulary brings pgx.Tx into every package.
func TestDependencies(t *testing.T) {
	t.Parallel()
	for pkg, refused := range map[string][]string{
		"./pkg/outbox":       {"github.com/aws/", "github.com/jackc/pgx/v5/pgxpool"},
		"./pkg/outbox/relay": {"github.com/aws/", "github.com/jackc/pgx/v5/pgxpool", module + "/pkg/outbox/pgstore"},
		"./internal/janitor": {"github.com/aws/", "github.com/jackc/", module + "/pkg/outbox/pgstore"},
	} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			deps := list(t, "-deps", pkg)
			if len(deps) < 10 {
				t.Fatalf("go list named %d packages", len(deps))
			}
			for _, dep := range deps {
				for _, r := range refused {
					if strings.HasPrefix(dep, r) {
						t.Errorf("%s depends on %s", pkg, dep)
					}
				}
			}
		})
	}
}

// list is go list at the root of the repository, a word for each package.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = repository
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	return strings.Fields(string(out))
}
