package pgadmin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

// Sample implements [janitor.Partitions]: it measures at which rate ids of outbox.events are drawn.
func (s *Store) Sample(ctx context.Context) (janitor.Sample, error) {
	var sample janitor.Sample
	err := s.one(ctx, "sample", "select sampled_at, current, ids_per_second from outbox.sample_ids()", nil,
		&sample.At, &sample.Current, &sample.Rate)
	return sample, err
}

// Make implements [janitor.Partitions]: it makes a partition of outbox.events, and returns false when it made none.
// Where the database had no lock for it in time the error wraps [janitor.ErrLocked].
func (s *Store) Make(ctx context.Context, number int64) (bool, error) {
	var made bool
	err := s.one(ctx, "make partition", "select outbox.make_partition($1::bigint)", []any{number}, &made)
	if errors.Is(err, pgdb.ErrBusy) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", janitor.ErrLocked, err)
	}
	return made, err
}

// ListEvents implements [janitor.Partitions]: it lists the limit partitions of outbox.events with the lowest numbers.
func (s *Store) ListEvents(ctx context.Context, limit int) ([]janitor.EventsPartition, error) {
	const sql = "select number, closed, archived, sealed, vacant, unsent, newest from outbox.list_events($1::integer)"
	var list []janitor.EventsPartition
	err := s.each(ctx, "list partitions", sql, []any{pgdb.Limit(limit)}, func(row pgx.Rows) (bool, error) {
		var p janitor.EventsPartition
		var newest pgtype.Timestamptz
		err := row.Scan(&p.Number, &p.Closed, &p.Archived, &p.Sealed, &p.Vacant, &p.Unsent, &newest)
		p.Newest = newest.Time
		list = append(list, p)
		return true, err //nolint:wrapcheck // named by call
	})
	return list, err
}

// outcome converts the text that a function of the schema returned. A text that is no [janitor.Outcome] is an error.
func outcome(answer string) (janitor.Outcome, error) {
	switch o := janitor.Outcome(answer); o {
	case janitor.Done, janitor.Busy, janitor.Locked, janitor.Gone, janitor.Open, janitor.Unsent, janitor.Young, janitor.Moved,
		janitor.Full, janitor.Unsealed, janitor.Changed:
		return o, nil
	}
	return "", fmt.Errorf("the answer %q is not known", answer)
}

// step runs sql, which calls a function of the schema that returns the text of an outcome. Errors of the statement
// begin with op, the name of the operation.
func (s *Store) step(ctx context.Context, op, sql string, args ...any) (janitor.Outcome, error) {
	var answer string
	if err := s.one(ctx, op, sql, args, &answer); err != nil {
		return "", err
	}
	return outcome(answer)
}

// lockingStep runs sql, which calls a function of the schema that locks outbox.events, with the number of a
// partition. It returns the outcome, and for how long writers and relays were kept out. Errors of the statement
// begin with op, the name of the operation.
func (s *Store) lockingStep(ctx context.Context, op, sql string, number int64) (janitor.Outcome, time.Duration, error) {
	var answer string
	var seconds float64
	if err := s.one(ctx, op, sql, []any{number}, &answer, &seconds); err != nil {
		return "", 0, err
	}
	o, err := outcome(answer)
	return o, time.Duration(seconds * float64(time.Second)), err
}

// Seal implements [janitor.Archiver]: it adds a constraint to a partition of outbox.events that refuses unsent rows and
// rows sent at before or later, and then validates it, in a transaction of its own.
func (s *Store) Seal(ctx context.Context, number int64, before time.Time) (janitor.Outcome, error) {
	o, err := s.step(ctx, "seal", "select outbox.seal_partition($1::bigint, $2::timestamp with time zone)", number, before)
	if err != nil || o != janitor.Done {
		return o, err
	}
	return s.step(ctx, "validate", "select outbox.validate_partition($1::bigint)", number)
}

// Archive implements [janitor.Archiver]: it makes a sealed partition of outbox.events one of outbox.archive, and
// returns for how long writers and relays were kept out.
func (s *Store) Archive(ctx context.Context, number int64) (janitor.Outcome, time.Duration, error) {
	return s.lockingStep(ctx, "archive", "select outcome, seconds from outbox.archive_partition($1::bigint)", number)
}

// Unseal implements [janitor.Archiver]: it drops the constraint that Seal added to a partition, if there is one.
func (s *Store) Unseal(ctx context.Context, number int64) (janitor.Outcome, error) {
	return s.step(ctx, "unseal", "select outbox.unseal_partition($1::bigint)", number)
}

// MoveSent implements [janitor.Mover]: of the next limit rows of a partition, or of outbox.events_default for
// [janitor.DefaultPartition], from the id from on, it moves those to outbox.archive that were sent earlier than before.
func (s *Store) MoveSent(ctx context.Context, number, from int64, before time.Time, limit int) (janitor.Move, error) {
	const sql = `select outcome, moved, kept, coalesce(next, 0)
		from outbox.move_sent($1::bigint, $2::bigint, $3::timestamp with time zone, $4::integer)`
	partition := &number
	if number == janitor.DefaultPartition {
		partition = nil
	}
	var m janitor.Move
	var answer string
	if err := s.one(ctx, "move rows", sql, []any{partition, from, before, pgdb.Limit(limit)}, &answer, &m.Moved, &m.Kept, &m.Next); err != nil {
		return janitor.Move{}, err
	}
	var err error
	m.Outcome, err = outcome(answer)
	return m, err
}

// DropVacant implements [janitor.Mover]: it drops a partition of outbox.events that has no rows, and returns for how
// long writers and relays were kept out.
func (s *Store) DropVacant(ctx context.Context, number int64) (janitor.Outcome, time.Duration, error) {
	return s.lockingStep(ctx, "drop vacant partition", "select outcome, seconds from outbox.drop_vacant($1::bigint)", number)
}
