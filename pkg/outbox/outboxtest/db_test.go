package outboxtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

func count(t *testing.T, pool *pgxpool.Pool, query string) int {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	a, b := outboxtest.DB(t), outboxtest.DB(t)
	if _, err := a.Exec(t.Context(), "select outbox.enqueue('order', '1', 'placed', '{}')"); err != nil {
		t.Fatal(err)
	}
	if got := count(t, a, "select count(*) from outbox.events"); got != 1 {
		t.Errorf("the database written to has %d events, want 1", got)
	}
	if got := count(t, b, "select count(*) from outbox.events"); got != 0 {
		t.Errorf("the other database has %d events, want 0", got)
	}
}

func TestUnmigratedDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	if got := count(t, pool, "select count(*) from pg_namespace where nspname = 'outbox'"); got != 0 {
		t.Error("the database has a schema outbox")
	}
}

func TestExecModeIsThePools(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.ExecMode(pgx.QueryExecModeExec))
	if got := pool.Config().ConnConfig.DefaultQueryExecMode; got != pgx.QueryExecModeExec {
		t.Errorf("mode = %v, want %v", got, pgx.QueryExecModeExec)
	}
}

func TestDatabaseIsDroppedAtTheEnd(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("a test", func(t *testing.T) {
		pool := outboxtest.DB(t)
		name = pool.Config().ConnConfig.Database
		// A connection that is never given back does not keep the database.
		conn, err := pgx.Connect(t.Context(), pool.Config().ConnString())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	var exists bool
	err := pool.QueryRow(t.Context(), "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
	if err != nil {
		t.Fatal(err)
	}
	if exists {
		t.Errorf("database %s is still there", name)
	}
}
