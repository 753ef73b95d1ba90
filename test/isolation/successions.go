//go:build unix

package isolation

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

//go:embed takeovers.sql
var takeoversSQL string

// around is by how much the time of a hand-over is extended on both sides before its longest time without an
// acceptance is looked for.
const around = 300 * time.Millisecond

// tenure is when a relay got its first shard, and when its latest one.
type tenure struct{ first, last time.Time }

// successions measures first hand-overs, between relays that start at ticks, and then kills of relays, and keeps the
// times in r.gaps and r.failovers. It prints to out how many hand-overs there were.
func (r *report) successions(ctx context.Context, l *load, out io.Writer) error {
	if err := rig.Pause(ctx, 2*rig.Tick); err != nil {
		return err
	}
	if err := r.handOvers(ctx, l); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d hand-overs\n", len(r.gaps))
	return r.kill(ctx, l)
}

// handOvers watches the owners of the shards for cfg.handOvers, and adds to r.gaps the longest time without an
// acceptance around each take-over. The first owner is left out, since it took over from none. It fails when
// there was no take-over.
func (r *report) handOvers(ctx context.Context, l *load) error {
	tenures := map[uuid.UUID]tenure{}
	var order []uuid.UUID
	for end := time.Now().Add(r.cfg.handOvers); time.Now().Before(end); {
		rows, err := l.world.Pool.Query(ctx, takeoversSQL)
		if err != nil {
			return fmt.Errorf("watch the shards: %w", err)
		}
		var owner uuid.UUID
		var t tenure
		if _, err = pgx.ForEachRow(rows, []any{&owner, &t.first, &t.last}, func() error {
			if old, known := tenures[owner]; !known {
				order = append(order, owner)
			} else if old.first.Before(t.first) {
				t.first = old.first
			}
			tenures[owner] = t
			return nil
		}); err != nil {
			return fmt.Errorf("watch the shards: %w", err)
		}
		if err := rig.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	for _, owner := range order[min(1, len(order)):] {
		t := tenures[owner]
		r.gaps = append(r.gaps, l.meter.pause(t.first.Add(-around), t.last.Add(around)))
	}
	if r.cfg.handOvers > 0 && len(r.gaps) == 0 {
		return errors.New("no hand-over took place: measure for longer")
	}
	return nil
}

// kill kills the relay that owns the shards, with kill -9, cfg.kills times, and adds to r.failovers the time
// from each kill to the next acceptance. A kill that comes after the relay's end is left out. It fails when
// nothing is accepted within a lease and three ticks.
func (r *report) kill(ctx context.Context, l *load) error {
	for range r.cfg.kills {
		owner := ""
		for owner == "" {
			if err := rig.Pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			owner = l.world.Owner(ctx)
		}
		at := time.Now()
		if err := l.world.Function.Kill(owner); errors.Is(err, lambdahost.ErrNotRunning) {
			continue
		} else if err != nil {
			return fmt.Errorf("kill: %w", err)
		}
		l.world.Journal.Excuse("kill", rig.Unsettled, at, time.Now())
		if err := rig.Pause(ctx, rig.LeaseTTL+3*rig.Tick); err != nil {
			return err
		}
		if took, _ := l.world.Journal.FirstAcceptance(at, time.Now()); took > 0 {
			r.failovers = append(r.failovers, took)
		} else {
			return errors.New("nothing was accepted after a kill")
		}
		if err := l.caughtUp(ctx); err != nil {
			return err
		}
	}
	return nil
}
