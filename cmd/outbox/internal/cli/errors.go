package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// failure is an error with the exit code that it leads to. Without err nothing is
// written to standard error.
type failure struct {
	code int
	err  error
}

// Error returns the text of the cause.
func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

func failed(err error) error { return &failure{code: exitFailure, err: err} }

func usagef(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// explain adds to an error of the store what to do about it, where the error itself
// does not say that.
func explain(err error, limit time.Duration) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		return fmt.Errorf("the database did not answer in time: check its address and security group, "+
			"whether another session holds a lock, or raise --timeout (%v): %w", limit, err)
	}
	return err
}

// databaseURL returns the URL and makes sure that it can be read. The parser's
// own error is left out: it quotes what it cannot read, and does not find the
// password in all of it (password = x, with spaces).
func (p *Program) databaseURL(g *globals) (string, error) {
	for _, source := range []struct{ name, value string }{
		{"--database-url", g.databaseURL},
		{"OUTBOX_DATABASE_URL", p.Getenv("OUTBOX_DATABASE_URL")},
		{"DATABASE_URL", p.Getenv("DATABASE_URL")},
	} {
		if source.value == "" {
			continue
		}
		if _, err := pgx.ParseConfig(source.value); err != nil {
			return "", usagef("%s is not a PostgreSQL connection string: "+
				"it should look like postgres://user:password@host:5432/database, with special characters of the password percent-encoded", source.name)
		}
		return source.value, nil
	}
	return "", usagef("no database: set --database-url or OUTBOX_DATABASE_URL, such as postgres://user:password@host:5432/database")
}
