package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// failure is an error with the exit code of the process. When err is nil, nothing is written to standard error.
type failure struct {
	code int
	err  error
}

// Error returns the text of f.err, empty when that is nil.
func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

// Unwrap returns f.err, which may be nil.
func (f *failure) Unwrap() error { return f.err }

// failed returns err as a failure with exit code 1, and nil for nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failure{code: exitFailure, err: err}
}

func usagef(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// explain adds what to do to err where the database did not answer in time. limit is the time that the command
// had. The error of a canceled context becomes "interrupted". Other errors are returned unchanged.
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

// databaseURL returns the database URL of the flag, or else of OUTBOX_DATABASE_URL, or else of DATABASE_URL. It is a
// failure for wrong usage when none is set, or when the first that is set cannot be parsed. The error never quotes the
// URL, which may have a password in it.
func (p *Program) databaseURL(g *globals) (string, error) {
	for _, source := range p.databases(g) {
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

// database is a place that may name a database: its name, and the URL, empty when it names none.
type database struct{ name, value string }

// databases returns the places that may name a database, the first one that does counts.
func (p *Program) databases(g *globals) []database {
	return []database{
		{"--database-url", g.databaseURL},
		{"OUTBOX_DATABASE_URL", p.Getenv("OUTBOX_DATABASE_URL")},
		{"DATABASE_URL", p.Getenv("DATABASE_URL")},
	}
}

// namesDatabase reports whether a database is named, also by a text that is no URL.
func (p *Program) namesDatabase(g *globals) bool {
	return slices.ContainsFunc(p.databases(g), func(d database) bool { return d.value != "" })
}
