package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

// Migrated says what [Migrate] changed. It is zero when the schema was that of this package already, and when a
// migration failed, although those before it were applied.
type Migrated struct {
	// Versions are the numbers of the migrations that were applied.
	Versions []int64
	// Functions are the names of the functions that were created or replaced, Dropped of those that were dropped
	// because this package has them no more.
	Functions, Dropped []string
}

// Migrate brings the schema to the version of this package: it applies the numbered migrations that are missing and
// makes the functions anew whose text has changed. A schema that is newer stays as it is, and the error wraps
// [ErrSchemaNewer].
//
// Calls at the same time take turns under a lock on the table outbox.locks, which one connection more than the pool's
// has while its transaction is open. Each migration is one transaction, and the functions change with the last of them.
//
// The login must own the schema outbox and all that is in it, or be allowed to create it. Where the schema belongs to
// another role that is no superuser, or others may create in it, nothing is run and the error wraps [ErrOwner]. Names
// are looked up in pg_catalog alone, whatever the search_path of the login is. Where the login may not create roles, a
// notice says how to, and outbox.grant_roles() makes the grants afterwards.
func Migrate(ctx context.Context, pool *pgxpool.Pool, options ...MigrateOption) (Migrated, error) {
	o, err := migrateOptions(options)
	if err != nil {
		return Migrated{}, fmt.Errorf("migrate: %w", err)
	}
	done, err := migrate(ctx, pool, readSchema(), o)
	return done, pgdb.Translate("migrate", "", err)
}

// migrate brings the database to the schema s, as Migrate does to that of this package. With an error of a migration
// done is zero, whatever was applied before it; with an error after the migrations it has the versions applied.
func migrate(ctx context.Context, pool *pgxpool.Pool, s schema, o options) (done Migrated, err error) {
	unlock, err := lockSchema(ctx, pool, s)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	u := upgrade{schema: s, options: o}
	versions, err := database.NewStoreFromQuerier(versionTable, versionQuerier{})
	if err != nil {
		return done, fmt.Errorf("read migrations: %w", err)
	}
	provider, err := goose.NewProvider("", db, nil,
		goose.WithGoMigrations(u.migrations()...),
		goose.WithStore(versions),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return done, fmt.Errorf("read migrations: %w", err)
	}
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return done, fmt.Errorf("read version: %w", err)
	}
	if version > s.version() {
		return done, fmt.Errorf("%w: it has version %d, this program knows %d", ErrSchemaNewer, version, s.version())
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		done.Versions = append(done.Versions, r.Source.Version)
	}
	if err != nil {
		return done, err //nolint:wrapcheck // goose names the migration
	}
	// Without a migration that is missing, functions may still have another text.
	if err := inTransaction(ctx, db, u.finish); err != nil {
		return done, err
	}
	done.Functions, done.Dropped = u.made, u.dropped
	return done, nil
}

// inTransaction runs f in a transaction of db, which it commits when f returns nil and else rolls back.
func inTransaction(ctx context.Context, db *sql.DB, f func(ctx context.Context, tx *sql.Tx) error) (err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit() //nolint:wrapcheck // the caller names what it did
}
