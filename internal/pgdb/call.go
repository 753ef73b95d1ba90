package pgdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Call waits until a connection of the pool is free or ctx ends, runs f with it, and gives it back to the pool. Errors,
// also those of f, begin with op, the name of the operation, and wrap an error of this package where one fits. roles
// names the roles that may do op, as for [Translate].
//
// When no connection can be made because a password was refused, Call tries once more: the pool may have used a
// password from a cache that has dropped it since. f is run once at most, and not at all on a connection with a setting
// under which texts or times would be read or written wrong: see [Require].
func Call(ctx context.Context, pool *pgxpool.Pool, op, roles string, f func(conn *pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if IsAuthFailure(err) {
		conn, err = pool.Acquire(ctx)
	}
	if err != nil {
		return Translate(op, roles, err)
	}
	defer conn.Release()
	if err = checkSession(conn.Conn()); err != nil {
		return Translate(op, roles, err)
	}
	err = f(conn)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == readOnlyTransaction && readOnlyBySetting(conn.Conn()) {
		err = fmt.Errorf("%w: %w", ReadOnlyLogin(conn.Conn().Config().User), err)
	}
	return Translate(op, roles, err)
}
