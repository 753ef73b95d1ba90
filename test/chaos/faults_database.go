//go:build unix

package chaos

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

//go:embed lock_claim.sql
var lockClaimSQL string

//go:embed lock_settle.sql
var lockSettleSQL string

//go:embed terminate_waiting.sql
var terminateWaitingSQL string

func (w *world) crashDatabase(ctx context.Context, i *injection) (int, error) {
	from := time.Now()
	err := w.server.Crash(ctx)
	w.excuse(i, from, time.Now())
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// terminate returns a fault that locks, with the statement lockSQL, the rows that a statement of the relay
// needs, and terminates the relay's connections that wait for them: so these end in the middle of the
// statement. It gives up when none waits within the time that the injection lasts, and returns 0 then.
func terminate(lockSQL string) inject {
	return func(w *world, ctx context.Context, i *injection) (int, error) {
		from := time.Now()
		defer func() { w.excuse(i, from, time.Now()) }()
		ended := 0
		err := pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockSQL); err != nil {
				return fmt.Errorf("lock: %w", err)
			}
			for end := from.Add(i.lasts); ended == 0 && time.Now().Before(end); {
				if err := tx.QueryRow(ctx, terminateWaitingSQL).Scan(&ended); err != nil {
					return fmt.Errorf("terminate: %w", err)
				}
				if err := rig.Pause(ctx, 5*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
		return ended, err
	}
}
