//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// trial is one run of a scenario, with its database, its broker, and its system: the relay or peer under test.
// dir is the folder for its files, server the URL of the PostgreSQL, database that of the run's own database,
// program the path of the relay, address that of the broker.
type trial struct {
	Scenario

	dir      string
	server   string
	dataDir  string
	program  string
	log      io.Writer
	database string
	// system is the URL with which the relay under test connects to the database; a peer connects with database.
	system string
	pool   *pgxpool.Pool
	// peers has all peers, nil unless the set of scenarios is "peers". peer is the one under test, nil when a relay is
	// under test.
	peers   *peerProgram
	peer    *load.Peer
	broker  *child
	address string
	// pprof is the host and port at which the relay serves profiles, "" when none are wanted.
	pprof string

	// systemPID is the process of the relay or peer under test, 0 until it runs.
	systemPID int
	stop      func() error
	// ended returns why the peer has ended, nil while it runs; it is not set before startPeer and for relays.
	// cut is set when the peer had not sent everything within Scenario.Cut.
	ended     func() error
	cut       bool
	samples   []sample
	unsampled int
}

// run carries the scenario out and judges it: it makes the database, writes the backlog, starts the system and
// the load, waits until everything is sent, and ends all processes of the run. It returns an error also when
// the history of a relay breaks a promise.
func (t *trial) run(ctx context.Context) (*Result, error) {
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	defer t.pool.Close()
	r := &Result{Scenario: t.Scenario}
	if err := errors.Join(t.archive(ctx), t.partitions(ctx)); err != nil {
		return nil, err
	}
	if t.Fill > 0 || t.peer != nil { // a peer makes its schema when it is filled
		if err := t.produce(ctx, t.plan(t.Fill, 0)); err != nil {
			return nil, err
		}
	}
	if err := t.settle(ctx); err != nil {
		return nil, err
	}
	release, err := t.hold(ctx)
	if err != nil {
		return nil, err
	}
	loop, err := calibrate()
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	r.LoopUS = float64(loop) / float64(time.Microsecond)
	before, err := t.measure(ctx)
	if err != nil {
		return nil, err
	}
	err = t.drive(ctx)
	after, measured := t.measure(ctx)
	statements, listed := t.statements(ctx)
	if t.stop != nil {
		err = errors.Join(err, t.stop())
	}
	release()
	if err = errors.Join(err, measured, listed, t.broker.wait()); err != nil {
		return nil, err
	}
	r.account(before, after)
	r.Statements = statements
	r.Samples, r.Unsampled, r.CutShort = t.samples, t.unsampled, t.cut
	commits, err := load.ReadRecords[load.Commit](t.path("commits"))
	if err != nil {
		return nil, err
	}
	accepted, err := load.ReadRecords[broker.Acceptance](t.path("accepted"))
	if err != nil {
		return nil, err
	}
	if t.peer != nil {
		return r, t.judgePeer(ctx, r, commits, accepted)
	}
	return r, t.judge(ctx, r, commits, accepted)
}

func (t *trial) open(ctx context.Context) error {
	admin, err := pgxpool.New(ctx, t.server)
	if err != nil {
		return err
	}
	defer admin.Close()
	name := "bench_" + strings.NewReplacer("-", "_").Replace(filepath.Base(t.dir))
	if _, err = admin.Exec(ctx, "create database "+name); err != nil {
		return err
	}
	if err = admin.QueryRow(ctx, "show data_directory").Scan(&t.dataDir); err != nil {
		return err
	}
	u, err := url.Parse(t.server)
	if err != nil {
		return err
	}
	u.Path = "/" + name
	t.database = u.String()
	if t.pool, err = pgstore.Connect(ctx, pgstore.Config{URL: t.database, MaxConns: 4}); err != nil {
		return err
	}
	if t.peer == nil {
		if _, err = pgstore.Migrate(ctx, t.pool); err != nil {
			return err
		}
		if t.system, err = t.login(ctx); err != nil {
			return err
		}
	}
	if _, err = t.pool.Exec(ctx, "create extension pg_stat_statements"); err != nil {
		return fmt.Errorf("the time of fetches is measured with the contributed modules of PostgreSQL: %w", err)
	}
	if t.broker, err = spawn(ctx, t.log, nil, roleBroker, "-latency", t.Latency.String(), "-out", t.path("accepted")); err != nil {
		return err
	}
	line, err := t.broker.lines.ReadString('\n')
	t.address = strings.TrimSpace(line)
	return err
}

func (t *trial) path(name string) string { return filepath.Join(t.dir, name) }

func (t *trial) plan(fill int64, rate int) load.Plan {
	return load.Plan{
		Config: t.Config, URL: t.database, Fill: fill, Rate: rate, Duration: t.Duration, PerTx: t.PerTx,
		Connections: t.Connections, Path: t.path("commits"),
	}
}

func (t *trial) produce(ctx context.Context, p load.Plan) error {
	var c *child
	var err error
	if t.peer != nil {
		c, err = t.peers.spawn(ctx, t.log, p, t.peer.Name, "fill")
	} else {
		c, err = spawn(ctx, t.log, p, roleProducer)
	}
	if err != nil {
		return err
	}
	return c.wait()
}

// drive starts the system and the load, and waits until all events are sent and marked as sent. A relay has a
// minute, and a second for each 200 events, to send, and then a minute to mark; a peer has Scenario.Cut for
// both.
func (t *trial) drive(ctx context.Context) error {
	total := t.Fill
	var err error
	switch {
	case t.peer != nil:
		err = t.startPeer(ctx)
	case t.System == systemLimit:
		err = t.startLimit(ctx)
	default:
		err = t.startRelay(ctx)
	}
	if err != nil {
		return err
	}
	watched, stop := context.WithCancel(ctx)
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		if t.pprof != "" {
			go t.profile(watched)
		}
		t.watch(watched)
	}()
	defer func() { stop(); <-sampled }()
	if t.Rate > 0 {
		if err = t.joined(ctx); err != nil {
			return err
		}
		if err = t.produce(ctx, t.plan(0, t.Rate)); err != nil {
			return err
		}
		var commits []load.Commit
		if commits, err = load.ReadRecords[load.Commit](t.path("commits")); err != nil {
			return err
		}
		for i := range commits {
			total += commits[i].Count
		}
	}
	if t.peer != nil {
		return t.sentByPeer(ctx, total)
	}
	const slowest = 200 // events a second: below that a run has failed
	most := time.Minute + time.Duration(total/slowest)*time.Second
	if err = poll(ctx, 20*time.Millisecond, most, func() (bool, error) {
		n, fault := t.count(ctx)
		return n >= total, fault
	}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err = poll(ctx, 20*time.Millisecond, time.Minute, func() (bool, error) {
		var unsent bool
		fault := t.pool.QueryRow(ctx, "select exists (select from outbox.events where sent_at is null)").Scan(&unsent)
		return !unsent, fault
	}); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	return nil
}

// joined waits, for a minute at most, until the relay under test has joined the relays in the database. For a
// peer it returns at once, since startPeer has waited.
func (t *trial) joined(ctx context.Context) error {
	if t.peer != nil {
		return nil
	}
	return poll(ctx, 20*time.Millisecond, time.Minute, func() (bool, error) {
		var in bool
		err := t.pool.QueryRow(ctx, "select exists (select from outbox.relays)").Scan(&in)
		return in, err
	})
}

func (t *trial) queue() string { return "http://" + t.address + "/000000000000/bench.fifo" }

// target returns the ARN of the topic or the URL of the queue to which the system publishes.
func (t *trial) target() string {
	if t.Service == sns {
		return "arn:aws:sns:us-east-1:000000000000:bench.fifo"
	}
	return t.queue()
}
