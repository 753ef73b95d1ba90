package pgdb

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Call waits until a connection of the pool is free or ctx ends, runs f with it, and gives it back to the pool. Errors,
// also those of f, begin with op, the name of the operation, and wrap an error of this package where one fits. roles
// names the roles that may do op, as for [Translate].
//
// When no connection can be made because a password was refused, Call tries once more: the pool may have used a
// password from a cache that has dropped it since. f is run once at most.
func Call(ctx context.Context, pool *pgxpool.Pool, op, roles string, f func(conn *pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if IsAuthFailure(err) {
		conn, err = pool.Acquire(ctx)
	}
	if err != nil {
		return Translate(op, roles, err)
	}
	defer conn.Release()
	return Translate(op, roles, f(conn))
}
