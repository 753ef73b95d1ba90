package pgadmin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// The roles that an error names are those, and no others, with which the operation is not refused.
func TestARefusedOperationNamesTheRolesThatMayDoIt(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	stores := map[string]*pgadmin.Store{}
	for _, role := range []string{"outbox_writer", "outbox_relay", "outbox_redrive", "outbox_janitor"} {
		stores[role] = pgadmin.New(login(t, pool, role))
	}
	r := redrive.Request{AggregateType: "order"}
	batch := rows.Batch{Request: &r, Limit: 1}
	now := time.Now()
	for op, do := range map[string]func(ctx context.Context, s *pgadmin.Store) error{
		"status": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.Status(ctx, 10); return err },
		"lookup": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.Lookup(ctx, uuid.New()); return err },
		"list dead letters": func(ctx context.Context, s *pgadmin.Store) error {
			_, err := s.DeadLetters(ctx, &r, 0, 1, true)
			return err
		},
		"list blocked": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.BlockedLanes(ctx, &r, 1, 1); return err },
		"redrive": func(ctx context.Context, s *pgadmin.Store) error {
			_, err := s.RedriveDeadLetters(ctx, batch)
			return err
		},
		"release": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.ReleaseBlocked(ctx, batch); return err },
		"count replay": func(ctx context.Context, s *pgadmin.Store) error {
			_, _, err := s.CountReplay(ctx, &r, 0, 1)
			return err
		},
		"start replay": func(ctx context.Context, s *pgadmin.Store) error { return s.StartReplay(ctx, uuid.New(), "", &r) },
		"find replay": func(ctx context.Context, s *pgadmin.Store) error {
			_, err := s.FindReplay(ctx, uuid.New(), 1)
			return err
		},
		"copy replay": func(ctx context.Context, s *pgadmin.Store) error {
			_, err := s.CopyReplay(ctx, uuid.New(), 1)
			return err
		},
		"sample": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.Sample(ctx); return err },
		"health": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.Health(ctx, time.Hour, 1); return err },
		"delete dead letters": func(ctx context.Context, s *pgadmin.Store) error {
			_, err := s.DeleteDeadLetters(ctx, now, 1)
			return err
		},
		"expire relays": func(ctx context.Context, s *pgadmin.Store) error { _, err := s.ExpireRelays(ctx, now); return err },
		"list files":    func(ctx context.Context, s *pgadmin.Store) error { _, err := s.ListFiles(ctx, 0); return err },
	} {
		err := do(t.Context(), stores["outbox_writer"])
		if !errors.Is(err, pgstore.ErrDenied) {
			t.Errorf("%s with outbox_writer = %v, want ErrDenied", op, err)
			continue
		}
		hint, _, _ := strings.Cut(err.Error(), ": ERROR:")
		for role, store := range stores {
			if may := !errors.Is(do(t.Context(), store), pgstore.ErrDenied); may != strings.Contains(hint, role) {
				t.Errorf("%s: a login with %s may: %t; the hint is %q", op, role, may, hint)
			}
		}
	}
}
