package pgstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

var (
	//go:embed sql/janitor_sample.sql
	janitorSampleSQL string
	//go:embed sql/janitor_make.sql
	janitorMakeSQL string
	//go:embed sql/janitor_list_events.sql
	janitorListEventsSQL string
	//go:embed sql/janitor_seal.sql
	janitorSealSQL string
	//go:embed sql/janitor_validate.sql
	janitorValidateSQL string
	//go:embed sql/janitor_archive.sql
	janitorArchiveSQL string
	//go:embed sql/janitor_unseal.sql
	janitorUnsealSQL string
	//go:embed sql/janitor_move.sql
	janitorMoveSQL string
	//go:embed sql/janitor_drop_vacant.sql
	janitorDropVacantSQL string
	//go:embed sql/janitor_delete_dead_letters.sql
	janitorDeleteDeadLettersSQL string
	//go:embed sql/janitor_delete_redrives.sql
	janitorDeleteRedrivesSQL string
	//go:embed sql/janitor_expire_relays.sql
	janitorExpireRelaysSQL string
	//go:embed sql/janitor_health.sql
	janitorHealthSQL string
	//go:embed sql/janitor_end.sql
	janitorEndSQL string
)

var _ janitor.Store = (*Store)(nil)

// one runs a statement that answers one row.
func (s *Store) one(ctx context.Context, op, sql string, args []any, into ...any) error {
	return s.do(ctx, op, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(into...)
	})
}

// Sample implements [janitor.Partitions].
func (s *Store) Sample(ctx context.Context) (janitor.Sample, error) {
	var sample janitor.Sample
	err := s.one(ctx, "sample", janitorSampleSQL, nil, &sample.At, &sample.Current, &sample.Rate)
	return sample, err
}

// Make implements [janitor.Partitions].
func (s *Store) Make(ctx context.Context, number int64) (bool, error) {
	var made bool
	err := s.one(ctx, "make partition", janitorMakeSQL, []any{number}, &made)
	if errors.Is(err, ErrBusy) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", janitor.ErrLocked, err)
	}
	return made, err
}

// ListEvents implements [janitor.Partitions].
func (s *Store) ListEvents(ctx context.Context, limit int) ([]janitor.EventsPartition, error) {
	var list []janitor.EventsPartition
	err := s.do(ctx, "list partitions", func(conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, janitorListEventsSQL, rowLimit(limit))
		defer rows.Close()
		for rows.Next() {
			var p janitor.EventsPartition
			var newest pgtype.Timestamptz
			if err := rows.Scan(&p.Number, &p.Closed, &p.Archived, &p.Sealed, &p.Vacant, &p.Unsent, &newest); err != nil {
				return err //nolint:wrapcheck // translated by do
			}
			p.Newest = newest.Time
			list = append(list, p)
		}
		return rows.Err() //nolint:wrapcheck // translated by do
	})
	return list, err
}

// outcomeOf reads the answer of a function of the schema. done is what it says
// when it did its work.
func outcomeOf(answer, done string) (janitor.Outcome, error) {
	if answer == done {
		return janitor.Done, nil
	}
	switch o := janitor.Outcome(answer); o {
	case janitor.Busy, janitor.Locked, janitor.Gone, janitor.Open, janitor.Unsent, janitor.Young, janitor.Moved,
		janitor.Full, janitor.Unsealed, janitor.Changed:
		return o, nil
	case janitor.Done:
	}
	return "", fmt.Errorf("the answer %q is not known", answer)
}

// Seal implements [janitor.Archiver].
func (s *Store) Seal(ctx context.Context, number int64, before time.Time) (janitor.Outcome, error) {
	var answer string
	if err := s.one(ctx, "seal", janitorSealSQL, []any{number, before}, &answer); err != nil {
		return "", err
	}
	if outcome, err := outcomeOf(answer, "sealed"); err != nil || outcome != janitor.Done {
		return outcome, err
	}
	if err := s.one(ctx, "validate", janitorValidateSQL, []any{number}, &answer); err != nil {
		return "", err
	}
	return outcomeOf(answer, "valid")
}

// Archive implements [janitor.Archiver].
func (s *Store) Archive(ctx context.Context, number int64) (janitor.Outcome, time.Duration, error) {
	return s.locking(ctx, "archive", janitorArchiveSQL, number, "archived")
}

// DropVacant implements [janitor.Mover].
func (s *Store) DropVacant(ctx context.Context, number int64) (janitor.Outcome, time.Duration, error) {
	return s.locking(ctx, "drop vacant partition", janitorDropVacantSQL, number, "dropped")
}

func (s *Store) locking(ctx context.Context, op, sql string, number int64, done string) (janitor.Outcome, time.Duration, error) {
	var answer string
	var seconds float64
	if err := s.one(ctx, op, sql, []any{number}, &answer, &seconds); err != nil {
		return "", 0, err
	}
	outcome, err := outcomeOf(answer, done)
	return outcome, time.Duration(seconds * float64(time.Second)), err
}

// Unseal implements [janitor.Archiver].
func (s *Store) Unseal(ctx context.Context, number int64) (janitor.Outcome, error) {
	var done bool
	err := s.one(ctx, "unseal", janitorUnsealSQL, []any{number}, &done)
	if err == nil && !done {
		return janitor.Locked, nil
	}
	return janitor.Done, err
}

// MoveSent implements [janitor.Mover].
func (s *Store) MoveSent(ctx context.Context, number, from int64, before time.Time, limit int) (janitor.Move, error) {
	var m janitor.Move
	var answer string
	if err := s.one(ctx, "move rows", janitorMoveSQL, []any{number, from, before, rowLimit(limit)}, &answer, &m.Moved, &m.Next); err != nil {
		return janitor.Move{}, err
	}
	var err error
	m.Outcome, err = outcomeOf(answer, "moved")
	return m, err
}

// DeleteDeadLetters implements [janitor.Cleaner].
func (s *Store) DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error) {
	var n int64
	err := s.one(ctx, "delete dead letters", janitorDeleteDeadLettersSQL, []any{before, rowLimit(limit)}, &n)
	return n, err
}

// DeleteRedrives implements [janitor.Cleaner].
func (s *Store) DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error) {
	var n int64
	err := s.one(ctx, "delete redrives", janitorDeleteRedrivesSQL, []any{before, rowLimit(limit)}, &n)
	return n, err
}

// ExpireRelays implements [janitor.Cleaner].
func (s *Store) ExpireRelays(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.one(ctx, "expire relays", janitorExpireRelaysSQL, []any{before}, &n)
	return n, err
}

// Health implements [janitor.Inspector].
func (s *Store) Health(ctx context.Context, alarm time.Duration, limit int) (janitor.Health, error) {
	var h janitor.Health
	var text string
	if err := s.one(ctx, "health", janitorHealthSQL, []any{alarm.Microseconds(), rowLimit(limit)}, &text); err != nil {
		return h, err
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return h, fmt.Errorf("health: parse answer: %w", err)
	}
	return h, nil
}

// End implements [janitor.Inspector].
func (s *Store) End(ctx context.Context) error {
	return s.do(ctx, "end", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, janitorEndSQL)
		return err //nolint:wrapcheck // translated by do
	})
}
