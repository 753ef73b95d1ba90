package pgdb

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Call runs f with a connection of the pool, and waits until one is free or ctx ends. The connection goes back
// to the pool after f. Errors, also those of f, begin with op and wrap one of this package's where the caller
// can do something about it.
//
// When no connection can be made because a password was refused, Call tries once more: the pool may have used a
// password from a cache that has dropped it since. f is run once at most.
func Call(ctx context.Context, pool *pgxpool.Pool, op string, f func(conn *pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if IsAuthFailure(err) {
		conn, err = pool.Acquire(ctx)
	}
	if err != nil {
		return Translate(op, err)
	}
	defer conn.Release()
	return Translate(op, f(conn))
}
