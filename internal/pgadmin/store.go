package pgadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// Store is the outbox in one PostgreSQL database. It keeps nothing between two
// calls, sets nothing in a session, and is safe for concurrent use. Its errors
// wrap those of pgstore.
type Store struct{ pool *pgxpool.Pool }

var (
	_ janitor.Store = (*Store)(nil)
	_ rows.Store    = (*Store)(nil)
	_ replay.Store  = (*Store)(nil)
)

// New returns the outbox that pool connects to. The caller keeps the pool and
// closes it.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// ErrNotFound means that there is no such event.
var ErrNotFound = errors.New("no such event")

// exec runs a statement and passes over what it returns.
func (s *Store) exec(ctx context.Context, op, sql string, args ...any) error {
	return s.call(ctx, op, func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err //nolint:wrapcheck // named by call
	})
}

// one runs a statement that returns one row and scans the row into the targets.
func (s *Store) one(ctx context.Context, op, sql string, args []any, into ...any) error {
	return s.call(ctx, op, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(into...)
	})
}

// document runs a statement that returns JSON documents as texts, one row of
// them, and parses each into the target of the same place.
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

// each runs a statement and calls row for every row that it returns, until row
// answers false.
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

// call runs f with a connection of the pool; see [pgdb.Call].
func (s *Store) call(ctx context.Context, op string, f func(conn *pgxpool.Conn) error) error {
	return pgdb.Call(ctx, s.pool, op, f) //nolint:wrapcheck // op is named there
}

// rowLimit is n as a LIMIT of a statement: at least 0, and what an integer of
// the database can hold.
func rowLimit(n int) int32 {
	return int32(min(max(n, 0), math.MaxInt32)) //nolint:gosec // bounded here
}

// clean replaces what PostgreSQL cannot store in a text, NUL and broken UTF-8,
// by U+FFFD.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
