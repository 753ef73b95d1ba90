//go:build unix

package pgserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
)

// oldest is the oldest major version that is used. Older ones are passed over.
const oldest = 15

// NotFoundError means that no PostgreSQL is installed and that none could be
// fetched. Its text says how to install one.
type NotFoundError struct {
	// Fetch is why the embedded server could not be fetched.
	Fetch error
}

// Error implements error. The text says how to install a PostgreSQL.
func (e *NotFoundError) Error() string {
	install := "apt-get install postgresql (Debian, Ubuntu) or dnf install postgresql-server (Fedora)"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql@18"
	}
	return fmt.Sprintf("no PostgreSQL %d or newer was found in $PG_BIN, /usr/lib/postgresql or PATH, and the embedded one could not be fetched (%v): "+
		"run %s, or point DATABASE_URL at a running server", oldest, e.Fetch, install)
}

// Unwrap returns why the embedded server could not be fetched.
func (e *NotFoundError) Unwrap() error { return e.Fetch }

// findBin returns the folder with initdb and postgres that Config.Embedded and Config.Version describe. It may fetch the
// embedded server, and returns a NotFoundError when no server is installed and that fails too.
func findBin(ctx context.Context, cfg Config) (string, error) {
	if cfg.Embedded {
		return embeddedBin(ctx, cfg.Version)
	}
	if bin := os.Getenv("PG_BIN"); bin != "" {
		major, err := version(ctx, bin)
		if err != nil {
			return "", fmt.Errorf("$PG_BIN: %w", err)
		}
		if cfg.Version != 0 && major != cfg.Version {
			return "", fmt.Errorf("$PG_BIN has PostgreSQL %d, and version %d was asked for", major, cfg.Version)
		}
		return filepath.Abs(bin)
	}
	if bin := newest(ctx, candidates(), cfg.Version); bin != "" {
		return bin, nil
	}
	bin, err := embeddedBin(ctx, cfg.Version)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", &NotFoundError{Fetch: err}
	}
	return bin, nil
}

// candidates returns the folders that exist where packages install the server's programs,
// and last the folder of postgres in PATH.
func candidates() []string {
	var dirs []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	return dirs
}

// newest returns the one of dirs with the newest server, the first of equals. It passes over servers older than the
// constant oldest and, unless only is 0, over all other major versions than only. It returns "" when none is left.
func newest(ctx context.Context, dirs []string, only int) string {
	type server struct {
		dir   string
		major int
	}
	var found []server
	for _, dir := range dirs {
		if major, err := version(ctx, dir); err == nil && major >= oldest && (only == 0 || major == only) {
			found = append(found, server{dir, major})
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.SortStableFunc(found, func(a, b server) int { return cmp.Compare(b.major, a.major) })
	return found[0].dir
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version returns the major version of the server whose programs are in the folder dir, by
// running postgres --version. It errs when initdb or postgres is missing.
func version(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dir, "postgres"), err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s: unknown version %q", filepath.Join(dir, "postgres"), out)
	}
	return strconv.Atoi(string(m[1]))
}
