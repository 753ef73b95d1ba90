//go:build unix

package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

const ownerEnv = "PGSERVER_TEST_OWNER"

// TestMain lets the test binary be a process that owns a server: it prints the
// server's URL and directory and waits for its end.
func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := pgserver.Start(context.Background(), pgserver.Config{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	dir, err := query(s.URL(), "SHOW data_directory")
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(s.URL(), dir)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func query(url, sql string) (string, error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	var s string
	err = conn.QueryRow(ctx, sql).Scan(&s)
	return s, errors.Join(err, conn.Close(ctx))
}

func mustQuery(t *testing.T, url, sql string) string {
	t.Helper()
	s, err := query(url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), sql)
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func start(t *testing.T, cfg pgserver.Config) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// waitGone waits until nothing listens at the URL and the directory is gone.
func waitGone(t *testing.T, url, dir string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		conn, dialErr := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", itoa(cfg.Port)))
		if dialErr == nil {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, statErr := os.Stat(dir)
		if dialErr != nil && errors.Is(statErr, fs.ErrNotExist) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("server still there: dial %v, %s: %v", dialErr, dir, statErr)
		case <-tick.C:
		}
	}
}

func TestServerTakesConnectionsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{Settings: map[string]string{"max_connections": "37"}})
	dir := mustQuery(t, s.URL(), "SHOW data_directory")
	for sql, want := range map[string]string{
		"SHOW max_connections":           "37",
		"SHOW fsync":                     "off",
		"SHOW listen_addresses":          "127.0.0.1",
		"SHOW unix_socket_directories":   "",
		"SHOW max_prepared_transactions": "10",
		"SHOW server_encoding":           "UTF8",
		"SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user": "true",
		"SELECT current_database()::text":                                  "postgres",
	} {
		if got := mustQuery(t, s.URL(), sql); got != want {
			t.Errorf("%s = %q, want %q", sql, got, want)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.URL(), filepath.Dir(dir))
}

func TestServerRefusesAWrongPassword(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{})
	cfg, err := pgx.ParseConfig(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(s.URL(), cfg.Password, "guess", 1)
	if v, err := query(wrong, "SELECT 'in'"); err == nil {
		t.Fatalf("got %q with a wrong password", v)
	}
}

func TestFsyncIsOnWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t, pgserver.Config{Fsync: true})
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := mustQuery(t, s.URL(), "SHOW "+name); got != "on" {
			t.Errorf("%s = %s, want on", name, got)
		}
	}
}

func TestEmbeddedServerNeedsNoInstallation(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("fetches 15 MB when the cache is empty")
	}
	s := start(t, pgserver.Config{Embedded: true})
	if got := mustQuery(t, s.URL(), "SHOW server_version"); !strings.HasPrefix(got, "18.") {
		t.Errorf("server_version = %s, want 18", got)
	}
}

func TestTheServerIsOfTheVersionAskedFor(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("fetches 15 MB when the cache is empty")
	}
	s := start(t, pgserver.Config{Version: 16})
	if got := mustQuery(t, s.URL(), "SHOW server_version"); !strings.HasPrefix(got, "16.") {
		t.Errorf("server_version = %s, want 16", got)
	}
}

func TestAVersionThatIsNotTestedIsRefused(t *testing.T) {
	t.Parallel()
	_, err := pgserver.Start(t.Context(), pgserver.Config{Version: 3, Embedded: true})
	if err == nil || !strings.Contains(err.Error(), "no version 3") {
		t.Errorf("err = %v, want the refused version", err)
	}
}

func TestNamedDataDirIsKept(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "pgserver-test-") //nolint:usetesting // The parents of t.TempDir are closed to the server's user.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := pgserver.Config{DataDir: filepath.Join(dir, "data")}
	first := start(t, cfg)
	mustExec(t, first.URL(), "CREATE TABLE kept AS SELECT 'here' AS v")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, cfg)
	if got := mustQuery(t, second.URL(), "SELECT v FROM kept"); got != "here" {
		t.Errorf("v = %q, want here", got)
	}
}

func TestServerEndsWithAKilledOwner(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), ownerEnv+"=1")
	if _, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the owner ended by itself")
	}
	if readErr != nil {
		t.Fatal(readErr)
	}
	url, data, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		t.Fatalf("the owner said %q", line)
	}
	waitGone(t, url, filepath.Dir(data))
}

func TestErrorsSayWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	_, err := pgserver.Start(t.Context(), pgserver.Config{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("err = %v, want the server's complaint", err)
	}
}

func TestAFolderWithoutServerIsRefused(t *testing.T) {
	t.Setenv("PG_BIN", t.TempDir())
	_, err := pgserver.Start(t.Context(), pgserver.Config{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestStartObeysItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := pgserver.Start(ctx, pgserver.Config{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
	if err == nil {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func itoa(port uint16) string { return strconv.Itoa(int(port)) }
