package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

// versionTable is where goose records which migrations were applied.
const versionTable = "outbox.migrations"

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
// Calls at the same time take turns under an advisory lock of the session, so the pool must lead to the server itself
// and not through a pooler in transaction mode or RDS Proxy. One connection more than the pool's has the lock. Each
// migration is one transaction, and the functions change with the last of them.
//
// The login must own the schema outbox or be allowed to create it. Where it may not create roles, a notice says how
// to, and outbox.grant_roles() makes the grants afterwards.
func Migrate(ctx context.Context, pool *pgxpool.Pool) (Migrated, error) {
	done, err := migrate(ctx, pool, readSchema())
	return done, pgdb.Translate("migrate", err)
}

// migrate brings the database to the schema s, as Migrate does to that of this package. With an error of a migration
// done is zero, whatever was applied before it; with an error after the migrations it has the versions applied.
func migrate(ctx context.Context, pool *pgxpool.Pool, s schema) (done Migrated, err error) {
	unlock, err := lockSchema(ctx, pool)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	u := upgrade{schema: s}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, nil,
		goose.WithGoMigrations(u.migrations()...),
		goose.WithTableName(versionTable),
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

// The class of the outbox's advisory locks, and the number of the one for migrations, which is taken before the
// schema is there. The comment of outbox.lock_class() has the numbers of the others.
const (
	lockClass   = 1869968504
	lockMigrate = 3
)

// lockSchema waits for the lock by which migrations of one database take turns, and creates the schema outbox if it
// is missing. The lock belongs to a connection that is not one of the pool's: callers that wait for the lock could
// otherwise use up the pool of the caller that has it. unlock gives the lock back and closes that connection; it
// fails when a pooler has given the connection another session. goose's own lock would come too late, after its
// version table, which needs the schema.
func lockSchema(ctx context.Context, pool *pgxpool.Pool) (unlock func() error, err error) {
	config := pool.Config()
	if config.BeforeConnect != nil {
		if err = config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	unlock = func() (err error) {
		uncancelled := context.WithoutCancel(ctx)
		defer func() { err = errors.Join(err, conn.Close(uncancelled)) }()
		var locked bool
		err = conn.QueryRow(uncancelled, "select pg_advisory_unlock($1::integer, $2::integer)", lockClass, lockMigrate).Scan(&locked)
		if err != nil {
			return fmt.Errorf("unlock: %w", err)
		}
		if !locked {
			return errors.New("unlock: the session was swapped: migrate through a direct connection, not a pooler or RDS Proxy")
		}
		return nil
	}
	if _, err = conn.Exec(ctx, "select pg_advisory_lock($1::integer, $2::integer)", lockClass, lockMigrate); err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), conn.Close(context.WithoutCancel(ctx)))
	}
	// CREATE SCHEMA IF NOT EXISTS asks for a right on the database even where the schema is there.
	var exists bool
	err = conn.QueryRow(ctx, "select exists (select from pg_catalog.pg_namespace where nspname = 'outbox')").Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, "create schema outbox")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create schema: %w", err), unlock())
	}
	return unlock, nil
}
