package outboxtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// DBOption is an option of [DB] and [URL]: it changes the database that they make, or how it is connected to.
type DBOption func(*dbOptions)

// dbOptions are the options of one call of DB or URL. Zero values are a database with the outbox in it, the ExecMode
// and the MaxConns of pgstore.Connect, and the pooler where there is one.
type dbOptions struct {
	unmigrated bool
	mode       pgx.QueryExecMode
	maxConns   int
	direct     bool
}

// poolerVariable is the variable with the URL of a pooler in front of the
// server, such as PgBouncer in transaction mode.
const poolerVariable = "OUTBOX_TEST_POOLER_URL"

// Pooled reports whether [DB] and [URL] go through a pooler in transaction mode, which the variable
// OUTBOX_TEST_POOLER_URL names. A test that keeps something in its session then needs [Direct].
func Pooled() bool { return os.Getenv(poolerVariable) != "" }

// Direct makes [DB] and [URL] connect to the server itself, even where there is a pooler.
func Direct() DBOption { return func(o *dbOptions) { o.direct = true } }

// Unmigrated makes [DB] and [URL] return an empty database, without the outbox. It implies [Direct], since
// [pgstore.Migrate] cannot work through a pooler.
func Unmigrated() DBOption { return func(o *dbOptions) { o.unmigrated, o.direct = true, true } }

// ExecMode sets how the pool of [DB] sends statements. Defaults to the mode of [pgstore.Config]. [URL] ignores it.
func ExecMode(mode pgx.QueryExecMode) DBOption { return func(o *dbOptions) { o.mode = mode } }

// MaxConns sets the most connections of the pool of [DB]. Defaults to 8. [URL] ignores it.
func MaxConns(n int) DBOption { return func(o *dbOptions) { o.maxConns = n } }

// DB returns a pool on a new database with the outbox in it, for this test alone; when the test ends, it closes
// the pool and drops the database. The server is the one that OUTBOX_TEST_DATABASE_URL or else DATABASE_URL
// names, else one that the first test of the process starts. DB fails the test when any of this fails.
func DB(tb testing.TB, opts ...DBOption) *pgxpool.Pool {
	tb.Helper()
	o := dbOptions{maxConns: 8}
	for _, opt := range opts {
		opt(&o)
	}
	pool, err := pgstore.Connect(tb.Context(), pgstore.Config{URL: URL(tb, opts...), ExecMode: o.mode, MaxConns: o.maxConns})
	if err != nil {
		tb.Fatalf("connect to the test's database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// URL makes a new database with the outbox in it, as [DB] does, for tests that connect by themselves: it returns the
// address of the database, and drops it when the test ends. It fails the test when it cannot make the database.
func URL(tb testing.TB, opts ...DBOption) string {
	tb.Helper()
	var o dbOptions
	for _, opt := range opts {
		opt(&o)
	}
	ctx := tb.Context()
	server, err := pgserver.Shared(ctx)
	if err != nil {
		tb.Fatalf("a PostgreSQL for tests: %v", err)
	}
	template := ""
	if !o.unmigrated {
		if template, err = makeTemplate(ctx, server); err != nil {
			tb.Fatalf("make the template database: %v", err)
		}
	}
	name := "outbox_test_" + strings.ToLower(rand.Text())
	create := "create database " + name
	if template != "" {
		create += " template " + template
	}
	if err = execOn(ctx, server, create); err != nil {
		tb.Fatalf("create the test's database: %v", err)
	}
	tb.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err = execOn(ctx, server, "drop database if exists "+name+" with (force)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	through := server
	if pooler := os.Getenv(poolerVariable); pooler != "" && !o.direct {
		through = pooler
	}
	database, err := inDatabase(through, name)
	if err != nil {
		tb.Fatalf("url of the test's database: %v", err)
	}
	return database
}

// makeTemplate returns the name of a database on the server that has the outbox in it, for new databases to be cloned
// from. The name has a hash of the schema. Where there is no such database, makeTemplate makes it: under another name
// first, so that a test which dies half-way leaves no half-made template.
func makeTemplate(ctx context.Context, server string) (name string, err error) {
	var text strings.Builder
	if err = pgstore.MigrationSQL(&text); err != nil {
		return "", fmt.Errorf("migrations: %w", err)
	}
	sum := sha256.Sum256([]byte(text.String()))
	name = "outbox_template_" + hex.EncodeToString(sum[:8])

	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	exists, err := databaseExists(ctx, conn, name)
	if err != nil || exists {
		return name, err
	}
	// The lock ends with the connection.
	if _, err = conn.Exec(ctx, "select pg_advisory_lock(hashtextextended('outbox template', 0))"); err != nil {
		return "", fmt.Errorf("lock: %w", err)
	}
	exists, err = databaseExists(ctx, conn, name)
	if err != nil || exists {
		return name, err
	}
	if _, err := conn.Exec(ctx, "drop database if exists "+name+"_new with (force)"); err != nil {
		return "", fmt.Errorf("drop remains: %w", err)
	}
	if _, err := conn.Exec(ctx, "create database "+name+"_new"); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	if err := migrateDatabase(ctx, server, name+"_new"); err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "alter database "+name+"_new rename to "+name); err != nil {
		return "", fmt.Errorf("rename: %w", err)
	}
	return name, nil
}

func databaseExists(ctx context.Context, conn *pgx.Conn, name string) (bool, error) {
	var exists bool
	err := conn.QueryRow(ctx, "select exists (select from pg_catalog.pg_database where datname = $1)", name).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("find the template: %w", err)
	}
	return exists, nil
}

func migrateDatabase(ctx context.Context, server, name string) error {
	database, err := inDatabase(server, name)
	if err != nil {
		return err
	}
	pool, err := pgstore.Connect(ctx, pgstore.Config{URL: database})
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	defer pool.Close()
	if _, err := pgstore.Migrate(ctx, pool); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return nil
}

// inDatabase returns the URL server with name as its database. It fails when server is not a URL but, for example, a
// list of keywords and values.
func inDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return "", errors.New("the server's address must be a URL, such as postgres://user@host:5432/postgres")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// execOn connects to server, a URL, and runs one statement, up to 50 times while the error is that a database is in
// use: the template is in use while another test clones it.
func execOn(ctx context.Context, server, statement string) (err error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for range 50 {
		_, err = conn.Exec(ctx, statement)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "55006" { // object_in_use
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
	}
	return nil
}
