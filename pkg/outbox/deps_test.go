package outbox_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies keeps what an application links small, and the engine free
// of technologies.
func TestDependencies(t *testing.T) {
	t.Parallel()
	for pkg, refused := range map[string][]string{
		".":                      {"github.com/aws/", "github.com/jackc/pgx/v5/pgxpool"},
		"./relay":                {"github.com/aws/", "github.com/jackc/pgx/v5/pgxpool", "github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"},
		"../../internal/janitor": {"github.com/aws/", "github.com/jackc/", "github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"},
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

// TestRelayImportsNoTechnology looks at what the engine itself imports: the
// vocabulary brings pgx.Tx in.
func TestRelayImportsNoTechnology(t *testing.T) {
	t.Parallel()
	imports := list(t, "-f", `{{join .Imports "\n"}}`, "./relay")
	if len(imports) < 3 {
		t.Fatalf("go list named %d imports", len(imports))
	}
	for _, i := range imports {
		if strings.HasPrefix(i, "github.com/aws/") || strings.HasPrefix(i, "github.com/jackc/") {
			t.Errorf("relay imports %s", i)
		}
	}
}

func list(t *testing.T, args ...string) []string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	return strings.Fields(string(out))
}
