//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// sideBySide calls add for each scenario of the set "peers": those of the peers, each with one of this project's
// relay to compare it with. A peer gets about as many events as it can send before its run is cut short.
func (o *options) sideBySide(add func(name string, change func(*Scenario))) {
	const (
		many = 100_000 // for this project's relay
		some = 60_000  // for a peer that sends in parallel
		few  = 3_000   // for a peer that sends one message after another
		cut  = 20 * time.Second
		late = 10 * time.Second
		span = 10 * time.Second
	)
	drain := func(name, system, service string, fill int64) {
		add(name, func(s *Scenario) { s.System, s.Service, s.Fill = system, service, fill })
	}
	beside := func(ours, system string, change func(*Scenario)) {
		add(ours+"-"+system, func(s *Scenario) { change(s); s.System, s.Beside = system, ours })
	}
	drain("drain", systemRelay, sqs, many)
	for _, p := range []struct {
		system string
		fill   int64
	}{{"river", some}, {"river-1", few}, {"watermill", few}} {
		beside("drain", p.system, func(s *Scenario) { s.Fill, s.Cut = p.fill, cut })
	}
	drain("drain-sns", systemRelay, sns, many)
	beside("drain-sns", "river", func(s *Scenario) { s.Service, s.Fill, s.Cut = sns, some, cut })
	// All peers can keep up with the last rate.
	for _, l := range []struct {
		rate, perTx int
		systems     []string
	}{{5_000, 10, []string{"river"}}, {1_000, 10, []string{"river"}}, {50, 1, []string{"river", "river-1", "watermill"}}} {
		load := func(s *Scenario) { s.Rate, s.PerTx, s.Connections, s.Duration = l.rate, l.perTx, 4, span }
		ours := fmt.Sprint("live-", l.rate)
		add(ours, load)
		for _, system := range l.systems {
			beside(ours, system, func(s *Scenario) { load(s); s.Cut = late })
		}
	}
}

// peerProgram is the compiled program bench/peers, which runs every peer that this project's relay is measured
// beside, and the descriptions of those peers.
type peerProgram struct {
	program
	list []load.Peer
}

// buildPeers compiles the program bench/peers, a module of its own below root, into .cache/rig/peers, and asks
// it for its peers. When that fails the campaign ends, since a table without a peer would look complete.
func buildPeers(ctx context.Context, root string) (*peerProgram, error) {
	f := &peerProgram{program: program{path: filepath.Join(root, ".cache", "rig", "peers"), env: gcEnv()}}
	build := exec.CommandContext(ctx, "go", "build", "-o", f.path, ".")
	build.Dir = filepath.Join(root, "bench", "peers")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peers: %w\n%s", err, out)
	}
	out, err := exec.CommandContext(ctx, f.path, "list").Output() //nolint:gosec // just built
	if err != nil {
		return nil, fmt.Errorf("list the peers: %w", err)
	}
	if err = json.Unmarshal(out, &f.list); err != nil {
		return nil, fmt.Errorf("list the peers: %w", err)
	}
	return f, nil
}

// gcEnv returns environment variables, as NAME=VALUE, with which the Go runtime collects garbage as in a
// deployed relay.
func gcEnv() []string {
	return []string{"GOGC=400", fmt.Sprintf("GOMEMLIMIT=%dMiB", memoryMB*4/5)}
}

// find returns the peer with the name system, and nil for the systems "relay" and "limit", which are no peers.
// Any other name is an error; so is every peer when f is nil.
func (f *peerProgram) find(system string) (*load.Peer, error) {
	if system == systemRelay || system == systemLimit {
		return nil, nil //nolint:nilnil // no peer is no fault
	}
	if f != nil {
		if i := slices.IndexFunc(f.list, func(p load.Peer) bool { return p.Name == system }); i >= 0 {
			return &f.list[i], nil
		}
	}
	return nil, fmt.Errorf("there is no peer %q", system)
}

var (
	errEnded = errors.New("the peer ended by itself")
	errStuck = errors.New("the peer did not stop")
)

// startPeer starts the peer, and returns once its output says that it publishes. It kills a peer that prints nothing
// within a minute; one that prints something else is an error and goes on running. It sets t.systemPID, t.ended and
// t.stop. stop gives the peer 20 seconds to end after an interrupt and then kills it, which is an error, as is a peer
// that ended before.
func (t *trial) startPeer(ctx context.Context) error {
	destination := load.Destination{URL: t.database, Service: t.Service, Endpoint: "http://" + t.address, Target: t.target()}
	c, err := t.peers.spawn(ctx, t.log, destination, t.peer.Name, "run")
	if err != nil {
		return err
	}
	t.systemPID = c.cmd.Process.Pid
	late := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	line, err := c.lines.ReadString('\n')
	if err != nil {
		return errors.Join(errEnded, c.wait())
	}
	if line = strings.TrimSpace(line); line != "running" {
		return fmt.Errorf("the peer says %q", line)
	}
	ended := make(chan struct{})
	var fault error // why the peer ended
	go func() {
		fault = c.wait()
		close(ended)
	}()
	t.ended = func() error {
		select {
		case <-ended:
			return errors.Join(errEnded, fault)
		default:
			return nil
		}
	}
	t.stop = func() error {
		if err := t.ended(); err != nil {
			return err
		}
		if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
			return fmt.Errorf("stop the peer: %w", err)
		}
		const most = 20 * time.Second // for what is in flight
		timer := time.NewTimer(most)
		defer timer.Stop()
		select {
		case <-ended:
			return fault
		case <-timer.C:
			return errors.Join(errStuck, c.cmd.Process.Kill())
		}
	}
	return nil
}

// sentByPeer waits until all events, total in number, have arrived and the peer's tables have no unsent event.
// After Scenario.Cut it sets t.cut and returns nil. It fails when the peer ends by itself.
func (t *trial) sentByPeer(ctx context.Context, total int64) error {
	err := poll(ctx, 20*time.Millisecond, t.Cut, func() (bool, error) {
		if err := t.ended(); err != nil {
			return false, err
		}
		if n, err := t.count(ctx); err != nil || n < total {
			return false, err
		}
		unsent, err := t.unsent(ctx)
		return unsent == 0, err
	})
	if errors.Is(err, errTimeout) {
		t.cut = true
		return nil
	}
	return err
}

func (t *trial) unsent(ctx context.Context) (n int64, err error) {
	if err = t.pool.QueryRow(ctx, t.peer.Unsent).Scan(&n); err != nil {
		err = fmt.Errorf("count what is unsent: %w", err)
	}
	return n, err
}
