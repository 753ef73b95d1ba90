package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockSchema waits for the lock by which migrations of one database take turns. Before that it creates the schema
// outbox if it is missing, fails where owner.sql of s refuses what is there, and makes the tables of base.sql. The lock
// is one on the table outbox.locks, which no other role can take, in a mode that row locks do not wait for.
//
// The lock belongs to a transaction of a connection that is not one of the pool's: callers that wait for the lock could
// otherwise use up the pool of the caller that has it. unlock ends the transaction and closes that connection. goose's
// own lock would come too late, after its version table, which needs the schema.
func lockSchema(ctx context.Context, pool *pgxpool.Pool, s schema) (unlock func() error, err error) {
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
	unlock = func() error { return conn.Close(context.WithoutCancel(ctx)) }
	if err = found(ctx, conn, s); err == nil {
		_, err = conn.Exec(ctx, "begin; set local idle_in_transaction_session_timeout = 0; lock table only outbox.locks in share update exclusive mode")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), unlock())
	}
	return unlock, nil
}

// found creates the schema outbox and the tables of base.sql where they are missing, and fails where the schema or what
// is in it belongs to another role. Another migration may do the same at the same time: of two that make the same
// thing one fails, and finds it there when it tries again.
func found(ctx context.Context, conn *pgx.Conn, s schema) error {
	const create = `
		do $$
		begin
			-- CREATE SCHEMA IF NOT EXISTS asks for a right on the database even where the schema is there.
			if to_regnamespace('outbox') is null then
				create schema outbox;
			end if;
		end
		$$;`
	for attempt := 0; ; attempt++ {
		_, err := conn.Exec(ctx, "begin; "+settings+"; "+create+s.owner+s.base+"commit")
		if err == nil {
			return nil
		}
		if _, rollbackErr := conn.Exec(ctx, "rollback"); rollbackErr != nil {
			return errors.Join(err, rollbackErr)
		}
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		// unique_violation of an index of the catalog, duplicate_schema, duplicate_table
		if !ok || attempt == 10 || pgErr.Code != "23505" && pgErr.Code != "42P06" && pgErr.Code != "42P07" {
			return fmt.Errorf("create schema: %w", err)
		}
	}
}
