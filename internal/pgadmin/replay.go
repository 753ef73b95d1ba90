package pgadmin

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
)

// CountReplay implements [replay.Searcher]: found is how many of the next limit rows with ids above after a replay
// would copy, next the after of the next call, 0 at the end. The login needs the role outbox_redrive, as for every
// replay.
func (s *Store) CountReplay(ctx context.Context, r *redrive.Request, after int64, limit int) (found int, next int64, err error) {
	const sql = `
		select c.found, coalesce(c.next, 0)
		from outbox.count_replay(
			$1::bigint, $2::integer,
			$3::pg_catalog.text[]::pg_catalog.uuid[], $4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.text,
			$8::timestamp with time zone, $9::timestamp with time zone, $10::bigint, $11::bigint) as c`
	err = s.one(ctx, "count replay", sql, append([]any{after, pgdb.Limit(limit)}, filters(r)...), &found, &next)
	return found, next, err
}

// StartReplay implements [replay.Searcher]: it stores a replay of what was sent by now and passes the filters of r. It
// changes nothing when there is a replay with that id.
func (s *Store) StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error {
	const sql = `
		select outbox.start_replay(
			$1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.text, $4::boolean,
			$5::pg_catalog.text[]::pg_catalog.uuid[], $6::pg_catalog.text, $7::pg_catalog.text, $8::pg_catalog.text, $9::pg_catalog.text,
			$10::timestamp with time zone, $11::timestamp with time zone, $12::bigint, $13::bigint)`
	return s.exec(ctx, "start replay", sql, append([]any{id.String(), pgdb.Text(requestID), optional(r.Redirect), r.Interleave}, filters(r)...)...)
}

// FindReplay implements [replay.Searcher]: it looks at the next limit rows, lists those that the replay will copy, and
// returns how far the replay is. An id that no replay has is [replay.ErrNotFound], wrapped.
func (s *Store) FindReplay(ctx context.Context, id uuid.UUID, limit int) (replay.Progress, error) {
	const sql = `
		select r.searched_at is not null, r.through, r.last_id, r.found, r.copied, r.failed
		from outbox.find_replay($1::pg_catalog.uuid, $2::integer) as r`
	var p replay.Progress
	err := s.one(ctx, "find replay", sql, []any{id.String(), pgdb.Limit(limit)},
		&p.Searched, &p.Through, &p.Last, &p.Found, &p.Copied, &p.Failed)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("find replay: %w", replay.ErrNotFound)
	}
	return p, err
}

// CopyReplay implements [replay.Copier]: it copies the listed events of one aggregate, at most limit, and returns
// what it did. An id that no replay has is [replay.ErrNotFound], wrapped; a search that is not over is another error.
func (s *Store) CopyReplay(ctx context.Context, id uuid.UUID, limit int) (replay.Step, error) {
	const sql = `
		select c.outcome, c.count, c.event_id, coalesce(c.aggregate_type, ''), coalesce(c.aggregate_id, '')
		from outbox.copy_replay($1::pg_catalog.uuid, $2::integer) as c`
	var step replay.Step
	var answer string
	var eventID pgtype.UUID
	err := s.one(ctx, "copy replay", sql, []any{id.String(), pgdb.Limit(limit)},
		&answer, &step.Count, &eventID, &step.AggregateType, &step.AggregateID)
	switch {
	case err != nil:
		return replay.Step{}, err
	case answer == "missing":
		return replay.Step{}, fmt.Errorf("copy replay: %w", replay.ErrNotFound)
	case answer == "search":
		return replay.Step{}, errors.New("copy replay: the search is not over")
	}
	step.Outcome, step.EventID = replay.Outcome(answer), eventID.Bytes
	return step, nil
}
