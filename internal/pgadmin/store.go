package pgadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// Store is the outbox in one PostgreSQL database, for all that is not the work of a relay. It has no state, changes no
// setting of a session, and is safe for concurrent use. Its errors name the operation, except for an answer of the
// database that is not known, and wrap the error of package pgstore that says what a caller can do, where one fits.
type Store struct{ pool *pgxpool.Pool }

var (
	_ janitor.Store = (*Store)(nil)
	_ rows.Store    = (*Store)(nil)
	_ replay.Store  = (*Store)(nil)
	_ dlq.Recorder  = (*Store)(nil)
)

// New returns the outbox in the database of pool. The caller closes the pool.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// ErrNotFound is the error of Lookup, wrapped, when no table has the event.
var ErrNotFound = errors.New("no such event")

// exec runs a statement and ignores the rows that it returns. Errors begin with op, the name of the operation.
func (s *Store) exec(ctx context.Context, op, sql string, args ...any) error {
	return s.call(ctx, op, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err //nolint:wrapcheck // named by call
	})
}

// one runs a statement that returns one row, and scans that row into the pointers into. A statement that returns
// no row is pgx.ErrNoRows, wrapped. Errors begin with op, the name of the operation.
func (s *Store) one(ctx context.Context, op, sql string, args []any, into ...any) error {
	return s.call(ctx, op, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(into...)
	})
}

// document runs a statement that returns one row of JSON texts, and unmarshals the text of each column into the
// pointer of into at the same index. Errors begin with op, the name of the operation.
func (s *Store) document(ctx context.Context, op, sql string, args []any, into ...any) error {
	texts, targets := make([]string, len(into)), make([]any, len(into))
	for i := range texts {
		targets[i] = &texts[i]
	}
	if err := s.one(ctx, op, sql, args, targets...); err != nil {
		return err
	}
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), into[i]); err != nil {
			return fmt.Errorf("%s: parse answer: %w", op, err)
		}
	}
	return nil
}

// each runs a statement and calls row for every row that it returns, until row returns false or an error. An error of
// row or of the statement is returned, and begins with op, the name of the operation.
func (s *Store) each(ctx context.Context, op, sql string, args []any, row func(rows pgx.Rows) (bool, error)) error {
	return s.call(ctx, op, func(conn *pgxpool.Conn) error {
		found, _ := conn.Query(ctx, sql, args...)
		defer found.Close()
		for found.Next() {
			if more, err := row(found); err != nil || !more {
				return err
			}
		}
		return found.Err() //nolint:wrapcheck // named by call
	})
}

// call runs f with a connection of the pool of s, as [pgdb.Call] does. Errors begin with op, the name of the operation.
func (s *Store) call(ctx context.Context, op string, f func(conn *pgxpool.Conn) error) error {
	return pgdb.Call(ctx, s.pool, op, roles(op), f) //nolint:wrapcheck // op is named there
}
