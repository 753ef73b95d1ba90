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
	err := w.Server.Crash(ctx)
	w.excuse(i, from, time.Now())
	if err != nil {
		return 0, err
	}
	return 1, nil
}

func (w *world) terminateClaim(ctx context.Context, i *injection) (int, error) {
	return w.terminate(ctx, i, lockClaimSQL)
}

func (w *world) terminateSettle(ctx context.Context, i *injection) (int, error) {
	return w.terminate(ctx, i, lockSettleSQL)
}

// terminate locks the rows that a statement of the relay needs, and terminates the
// connection that waits for them: so it ends in the middle of the statement.
func (w *world) terminate(ctx context.Context, i *injection, lockSQL string) (int, error) {
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

func (w *world) cutDatabase(ctx context.Context, i *injection) (int, error) {
	return w.databaseTrouble(ctx, i, path{w.ToDatabase}.cut(i.lasts))
}

func (w *world) resetDatabase(ctx context.Context, i *injection) (int, error) {
	return w.databaseTrouble(ctx, i, path{w.ToDatabase}.reset(i.lasts))
}

func (w *world) slowDatabase(ctx context.Context, i *injection) (int, error) {
	return w.databaseTrouble(ctx, i, path{w.ToDatabase}.slow(i.lasts, i.between(50, 250)))
}

func (w *world) stallDatabase(ctx context.Context, i *injection) (int, error) {
	return w.databaseTrouble(ctx, i, path{w.ToDatabase}.stall(i.lasts))
}

func (w *world) databaseTrouble(ctx context.Context, i *injection, do func(context.Context) (int, error)) (int, error) {
	from := time.Now()
	n, err := do(ctx)
	w.excuse(i, from, time.Now())
	return n, err
}
