package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func TestConnectNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := pgstore.Connect(t.Context(), pgstore.Config{MaxConns: -1, PingTimeout: -time.Second})
	for _, field := range []string{"URL", "MaxConns", "PingTimeout"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("error = %v, want %s in it", err, field)
		}
	}
}

func TestConnectToNothing(t *testing.T) {
	t.Parallel()
	_, err := pgstore.Connect(t.Context(), pgstore.Config{URL: "postgres://user:geheim@127.0.0.1:1/x"})
	if !errors.Is(err, pgstore.ErrUnreachable) {
		t.Errorf("error = %v, want ErrUnreachable", err)
	}
	if strings.Contains(fmt.Sprint(err), "geheim") {
		t.Errorf("the error tells the password: %v", err)
	}
}

func TestConnectDefaults(t *testing.T) {
	t.Parallel()
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: outboxtest.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c := pool.Config()
	if c.MaxConns != 4 || c.PingTimeout != time.Second || c.MaxConnLifetime != 20*time.Minute || c.MaxConnLifetimeJitter == 0 ||
		c.ConnConfig.ConnectTimeout != 5*time.Second || c.ConnConfig.DefaultQueryExecMode != pgx.QueryExecModeCacheDescribe {
		t.Errorf("config = %+v", c)
	}
}

func TestPasswordIsAskedForEachConnection(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	url := outboxtest.URL(t)
	password := passwordOf(t, url)
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{
		URL: url,
		Password: func(_ context.Context, host string, port uint16, user string) (string, error) {
			if host == "" || port == 0 || user == "" {
				t.Errorf("asked for host %q, port %d, user %q", host, port, user)
			}
			asked.Add(1)
			return password, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.Reset()
	if err = pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := asked.Load(); got != 2 {
		t.Errorf("asked %d times, want once for each of two connections", got)
	}
	_, err = pgstore.Connect(t.Context(), pgstore.Config{
		URL:      pool.Config().ConnString(),
		Password: func(context.Context, string, uint16, string) (string, error) { return "", errors.New("no token") },
	})
	if err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("error = %v, want the one of the hook", err)
	}
}

// A login that does not exist is refused with 28000 whatever the server's
// authentication is, as an old password is with 28P01.
func TestRefusedLoginIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	var asked, dropped atomic.Int32
	_, err := pgstore.Connect(t.Context(), pgstore.Config{
		// Direct: PgBouncer 1.18 has one code for all its refusals.
		URL: withUser(t, outboxtest.URL(t, outboxtest.Direct()), "nobody_of_that_name"),
		Password: func(context.Context, string, uint16, string) (string, error) {
			asked.Add(1)
			return "old", nil
		},
		OnAuthFailure: func() { dropped.Add(1) },
	})
	if !errors.Is(err, pgstore.ErrDenied) {
		t.Errorf("error = %v, want ErrDenied", err)
	}
	if asked.Load() != 2 || dropped.Load() < 2 {
		t.Errorf("asked %d times, dropped %d times, want 2 and at least 2", asked.Load(), dropped.Load())
	}
}

// A secret that was rotated is dropped and asked for again.
func TestRotatedPasswordIsAskedForAgain(t *testing.T) {
	t.Parallel()
	url := outboxtest.URL(t)
	password := passwordOf(t, url)
	if password == "" {
		t.Skip("the server under DATABASE_URL asks for no password; run without it: go test ./pkg/outbox/pgstore")
	}
	var rotated atomic.Bool
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{
		URL: url,
		Password: func(context.Context, string, uint16, string) (string, error) {
			if rotated.Load() {
				return password, nil
			}
			return "old", nil
		},
		OnAuthFailure: func() { rotated.Store(true) },
	})
	if err != nil {
		t.Fatal(err)
	}
	pool.Close()
}

func passwordOf(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Password
}

func withUser(t *testing.T, url, user string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("postgres://%s@%s:%d/%s", user, config.Host, config.Port, config.Database)
}

func TestReadOnlySessionsAreDestroyed(t *testing.T) {
	t.Parallel()
	// Direct: behind a pooler the session is not the connection.
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: outboxtest.URL(t, outboxtest.Direct()), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := pgstore.New(pool)
	id := join(t, store)
	exec(t, pool, "set default_transaction_read_only = on")
	before := query[int](t, pool, "select pg_backend_pid()")
	if _, err := store.Settle(t.Context(), id, identified(t, pool, accept(1))); !errors.Is(err, pgstore.ErrReadOnly) {
		t.Errorf("settle = %v, want ErrReadOnly", err)
	}
	if after := query[int](t, pool, "select pg_backend_pid()"); after == before {
		t.Error("the session is still used")
	}
	if _, err := store.Settle(t.Context(), id, identified(t, pool, accept(1))); err != nil {
		t.Errorf("settle on a new session: %v", err)
	}
}
