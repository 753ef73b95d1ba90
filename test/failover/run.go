//go:build unix

package failover

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

//go:embed last_id.sql
var lastIDSQL string

const (
	// relayTimeout is how long an invocation may take: longer than a failover, so that relays live through it.
	relayTimeout = 20 * time.Second
	// many and few are how many ids, at least, the primary gives out after its standby was cut off. A promoted standby
	// leaves out up to 32 ids after the last that it knows of: with many, ids come again, and with few, which are few as
	// the writers make long pauses, it is mostly commits and marks alone that are lost.
	many, few = 200, 2
	// brokerDelay is how long each way to the broker takes, so that events are under way when the primary ends. silent
	// is how long after a flip the broker answers again where it was silent: less than the timeout of a send, so that
	// relays settle on the new primary what they read from the old one.
	brokerDelay = 15 * time.Millisecond
	silent      = 150 * time.Millisecond
	// unreceived is how long before the cut a commit can have been answered that the standby did not receive.
	unreceived = time.Second
)

// promotion is one failover.
type promotion struct {
	// lacking is many or few, 0 for one without loss.
	lacking int64
	// apart is when the standby was cut off, for one with loss. Then the primary was killed, and then the address of
	// the clients led to the standby.
	apart, killed, flipped time.Time
	// before is the newest id that the old primary had given out, and after that of the new primary when it was promoted.
	before, after int64
	// undone counts the commits with an answer that the new primary lacks.
	undone int
}

// loss says whether the new primary lacks commits of the old one.
func (p *promotion) loss() bool { return p.lacking > 0 }

// again returns how many ids came again.
func (p *promotion) again() int64 { return max(0, p.before-p.after) }

// result is what became of the run of one seed.
type result struct {
	*rig.Outcome
	seed       uint64
	promotions []*promotion
	// resumed has the time from the flip to the next acceptance, of each promotion.
	resumed []time.Duration
	// faults has what makes the run prove nothing.
	faults []string
	// survived has the events that the last primary has committed.
	survived map[uuid.UUID]bool
	// backward counts the events whose attribute sequence was not above those of the events of their lane before them.
	backward int
	// again has the arguments of the campaign command that repeat the run.
	again string
	// slow is set while the writers make long pauses.
	slow atomic.Bool
}

// ok reports whether the promotions were made as planned and no promise was broken.
func (r *result) ok() bool { return r.OK() && len(r.faults) == 0 }

// play makes the run of one seed with a pair of its own, and judges what its last primary has. Errors of the run are in
// the result; one of the pair is returned.
func (c *config) play(ctx context.Context, p rig.Program, seed uint64) (_ *result, err error) {
	servers, err := openPair(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, servers.close()) }()
	if err = servers.follow(ctx); err != nil {
		return nil, err
	}
	r := &result{seed: seed, again: c.again(seed)}
	journal := rig.NewJournal(nil)
	ready := make(chan struct{})
	r.Outcome = rig.Experiment{
		Config: rig.Config{
			Program: p, Server: servers, Name: fmt.Sprintf("failover-%d", seed), Journal: journal, Timeout: relayTimeout,
		},
		Logs: c.logs, DrainWithin: c.drain,
		// No fault: the relay only records which outcomes it sees as unknown.
		Plan: &failpoint.Plan{},
		Write: func(ctx context.Context, w *rig.World, stop <-chan struct{}) error {
			if _, err := w.Pool.Exec(ctx, ordersSQL); err != nil {
				return fmt.Errorf("make the table: %w", err)
			}
			close(ready)
			if err := write(ctx, w, seed, &r.slow, stop); err != nil {
				return err
			}
			return r.undo(ctx, w)
		},
		Do: func(ctx context.Context, w *rig.World, _ rig.Ledger) error {
			select {
			case <-ready:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			w.ToBroker.Delay(brokerDelay)
			return r.promote(ctx, c, servers, w)
		},
	}.Play(ctx)
	for _, one := range r.promotions {
		if took, alone := journal.FirstAcceptance(one.flipped, time.Now()); alone {
			r.resumed = append(r.resumed, took)
		}
		if one.loss() && (one.undone == 0 || one.lacking == many && one.again() == 0) {
			r.faults = append(r.faults, fmt.Sprintf("a promotion with loss undid %d commits, and %d ids came again: it proves nothing", one.undone, one.again()))
		}
	}
	if backward := journal.Backward(func(id uuid.UUID) bool { return r.survived[id] }); len(backward) > 0 {
		r.backward = len(backward)
		r.faults = append(r.faults, fmt.Sprintf("%d events went backwards in their lane by the attribute sequence: %s", len(backward), backward[0]))
	}
	r.Close(r.ok(), "")
	return r, nil
}

// promote fails over c.promotions times, without and with loss in turns, of many and of few commits, each time after a
// random while of load.
func (r *result) promote(ctx context.Context, c *config, servers *pair, w *rig.World) error {
	random := rand.New(rand.NewPCG(r.seed, 1000)) //nolint:gosec // Repeatable on purpose.
	load := func() error {
		return rig.Pause(ctx, 300*time.Millisecond+time.Duration(random.Int64N(int64(time.Second))))
	}
	for n := range c.promotions {
		if servers.standby == nil {
			if err := servers.follow(ctx); err != nil {
				return err
			}
		}
		one := &promotion{lacking: []int64{0, many, 0, few}[n%4]}
		r.slow.Store(one.lacking == few)
		if err := load(); err != nil {
			return err
		}
		var err error
		if one.loss() {
			err = one.partWays(ctx, servers, w)
		} else if err = servers.primary.Synchronise(ctx); err == nil {
			err = load()
		}
		if err != nil {
			return err
		}
		if err = one.failOver(ctx, servers, w); err != nil {
			return err
		}
		r.slow.Store(false)
		r.promotions = append(r.promotions, one)
	}
	return load()
}

// partWays cuts the standby off and waits until the primary has given out so many ids more.
func (p *promotion) partWays(ctx context.Context, servers *pair, w *rig.World) error {
	first, err := lastID(ctx, servers, w)
	if err != nil {
		return err
	}
	p.apart = time.Now()
	servers.cutOff()
	for last := first; last < first+p.lacking; {
		if err = rig.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		if last, err = lastID(ctx, servers, w); err != nil {
			return err
		}
	}
	return nil
}

// failOver fails over, and records in the journal which marks were lost or got no answer. With loss the broker answers
// nothing from before the end of the primary until after the flip.
func (p *promotion) failOver(ctx context.Context, servers *pair, w *rig.World) error {
	var err error
	if p.before, err = lastID(ctx, servers, w); err != nil {
		return err
	}
	if p.loss() {
		w.ToBroker.Stall(true)
		defer w.ToBroker.Stall(false)
	}
	p.killed = time.Now()
	if err = servers.takeOver(ctx); err != nil {
		return err
	}
	if p.after, err = lastID(ctx, servers, w); err != nil {
		return err
	}
	if err = servers.flip(); err != nil {
		return err
	}
	p.flipped = time.Now()
	w.Journal.Excuse("failover", rig.Unmarked, p.since(), p.flipped)
	if p.loss() {
		return rig.Pause(ctx, silent)
	}
	return nil
}

// since returns the time from which on the new primary may lack what the old one answered.
func (p *promotion) since() time.Time {
	if p.loss() {
		return p.apart.Add(-unreceived)
	}
	return p.killed
}

// lastID returns the newest id that the primary has given out in the world's database.
func lastID(ctx context.Context, servers *pair, w *rig.World) (id int64, err error) {
	u, err := url.Parse(servers.primary.URL())
	if err != nil {
		return 0, fmt.Errorf("parse the server's URL: %w", err)
	}
	u.Path = "/" + w.Pool.Config().ConnConfig.Database
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return 0, fmt.Errorf("read the last id: %w", err)
	}
	err = conn.QueryRow(ctx, lastIDSQL).Scan(&id)
	return id, errors.Join(err, conn.Close(ctx))
}

// undo tells the journal which events the last primary has committed. Commits with an answer that it lacks are counted
// with the promotion that lost them; those that none with loss explains are a fault of the run.
func (r *result) undo(ctx context.Context, w *rig.World) error {
	survived, err := orders(ctx, w)
	if err != nil {
		return err
	}
	r.survived = survived
	unexplained := 0
	w.Journal.Undo(func(id uuid.UUID) bool { return survived[id] }, func(_ uuid.UUID, done time.Time) {
		for _, p := range r.promotions {
			if p.loss() && done.After(p.since()) && done.Before(p.flipped) {
				p.undone++
				return
			}
		}
		unexplained++
	})
	if unexplained > 0 {
		r.faults = append(r.faults, fmt.Sprintf("%d commits with an answer are missing though the standby had received them", unexplained))
	}
	return nil
}
