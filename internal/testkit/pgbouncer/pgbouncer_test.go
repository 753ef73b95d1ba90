//go:build unix

package pgbouncer_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgbouncer"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

func start(t *testing.T) *pgbouncer.Bouncer {
	t.Helper()
	server, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := pgbouncer.Start(t.Context(), server)
	if errors.Is(err, pgbouncer.ErrNotFound) {
		if inCI, parseErr := strconv.ParseBool(os.Getenv("CI")); parseErr == nil && inCI {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func backend(t *testing.T, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (pid int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// A client without a transaction has no session: while one client is in a transaction on the session that
// another used before, the other gets a new one.
func TestSessionsAreSharedBetweenTransactions(t *testing.T) {
	t.Parallel()
	b := start(t)
	first, second := connect(t, b.URL()), connect(t, b.URL())
	before := backend(t, first)
	tx, err := second.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := backend(t, tx); got != before {
		t.Errorf("the transaction has session %d, want %d, which the other client used before", got, before)
	}
	if got := backend(t, first); got == before {
		t.Error("two clients have one session at the same time")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownPasswordIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t)
	u, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password == "" {
		t.Skip("the server under DATABASE_URL asks for no password; run without it: go test ./internal/testkit/pgbouncer")
	}
	u.User = url.UserPassword(u.User.Username(), "guess")
	conn, err := pgx.Connect(t.Context(), u.String())
	if err == nil {
		t.Error("connected with a wrong password", conn.Close(t.Context()))
	}
}

func TestStopEndsIt(t *testing.T) {
	t.Parallel()
	b := start(t)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		t.Error("something still listens", conn.Close())
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgbouncer.Start(ctx, "postgres://a@127.0.0.1:1/b")
	if !errors.Is(err, context.Canceled) && !errors.Is(err, pgbouncer.ErrNotFound) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	if _, err = pgbouncer.Start(t.Context(), "not a url"); err == nil || !strings.Contains(err.Error(), "start pgbouncer") {
		t.Errorf("error = %v", err)
	}
}
