package pgstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
)

var (
	//go:embed sql/count_replay.sql
	countReplaySQL string
	//go:embed sql/start_replay.sql
	startReplaySQL string
	//go:embed sql/find_replay.sql
	findReplaySQL string
	//go:embed sql/copy_replay.sql
	copyReplaySQL string
)

var _ replay.Store = (*Store)(nil)

// CountReplay implements [replay.Searcher]. The login needs the role
// outbox_redrive, for this and for all about replays.
func (s *Store) CountReplay(ctx context.Context, r *redrive.Request, after int64, limit int) (found int, next int64, err error) {
	err = s.do(ctx, "count replay", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, countReplaySQL, append([]any{after, rowLimit(limit)}, filters(r)...)...).Scan(&found, &next)
	})
	return found, next, err
}

// StartReplay implements [replay.Searcher].
func (s *Store) StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error {
	return s.do(ctx, "start replay", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, startReplaySQL,
			append([]any{id.String(), clean(requestID), optional(r.Redirect), r.Interleave}, filters(r)...)...)
		return err //nolint:wrapcheck // translated by do
	})
}

// FindReplay implements [replay.Searcher].
func (s *Store) FindReplay(ctx context.Context, id uuid.UUID, limit int) (replay.Progress, error) {
	var p replay.Progress
	err := s.do(ctx, "find replay", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, findReplaySQL, id.String(), rowLimit(limit)).
			Scan(&p.Searched, &p.Through, &p.Last, &p.Found, &p.Copied, &p.Failed)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("find replay: %w", replay.ErrNotFound)
	}
	return p, err
}

// CopyReplay implements [replay.Copier].
func (s *Store) CopyReplay(ctx context.Context, id uuid.UUID, limit int) (replay.Step, error) {
	var step replay.Step
	var outcome, eventID string
	err := s.do(ctx, "copy replay", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, copyReplaySQL, id.String(), rowLimit(limit)).
			Scan(&outcome, &step.Count, &eventID, &step.AggregateType, &step.AggregateID)
	})
	switch {
	case err != nil:
		return replay.Step{}, err
	case outcome == "missing":
		return replay.Step{}, fmt.Errorf("copy replay: %w", replay.ErrNotFound)
	case outcome == "search":
		return replay.Step{}, errors.New("copy replay: the search is not over")
	}
	step.Outcome = replay.Outcome(outcome)
	if eventID != "" {
		if step.EventID, err = uuid.Parse(eventID); err != nil {
			return replay.Step{}, fmt.Errorf("copy replay: event id: %w", err)
		}
	}
	return step, nil
}
