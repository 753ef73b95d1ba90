package outbox_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// exampleDatabase returns the URL of a migrated database for an example, which
// has no testing.TB, and how to drop it.
func exampleDatabase(ctx context.Context) (address string, drop func()) {
	server, err := pgserver.Shared(ctx)
	if err != nil {
		panic(err)
	}
	name := "outbox_example_" + strings.ToLower(rand.Text())
	exec := func(query string) {
		conn, connErr := pgx.Connect(ctx, server)
		if connErr != nil {
			panic(connErr)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, execErr := conn.Exec(ctx, query); execErr != nil {
			panic(execErr)
		}
	}
	exec("create database " + name)
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	pool, err := pgxpool.New(ctx, u.String())
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	if _, err := pgstore.Migrate(ctx, pool); err != nil {
		panic(err)
	}
	return u.String(), func() { exec("drop database " + name + " with (force)") }
}
