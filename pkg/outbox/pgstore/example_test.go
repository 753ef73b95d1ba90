package pgstore_test

import (
	"fmt"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// A service that migrates when it starts. Migrations that were applied are not
// applied again.
func ExampleMigrate() {
	t, end := testingtb.New()
	defer end()
	ctx, url := t.Context(), outboxtest.URL(t, outboxtest.Unmigrated())

	pool, err := pgstore.Connect(ctx, pgstore.Config{URL: url})
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	first, err := pgstore.Migrate(ctx, pool)
	if err != nil {
		panic(err)
	}
	second, err := pgstore.Migrate(ctx, pool)
	if err != nil {
		panic(err)
	}

	fmt.Println(len(first.Versions) > 0, len(second.Versions) > 0)
	fmt.Println(pgstore.New(pool).Check(ctx))
	// Output:
	// true false
	// <nil>
}

// The schema as plain SQL, for a migration tool of your own.
func ExampleMigrationSQL() {
	var script strings.Builder // or a file
	if err := pgstore.MigrationSQL(&script); err != nil {
		panic(err)
	}
	fmt.Println(strings.Contains(script.String(), "create table outbox.events"))
	// Output: true
}
