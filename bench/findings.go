//go:build unix

package main

import (
	"context"
	"errors"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// Findings count what became of the events that were committed.
type Findings struct {
	Committed int64 `json:"committed"`
	// Arrived are those that the broker accepted, Duplicates its acceptances
	// beyond one of each.
	Arrived    int64 `json:"arrived"`
	Duplicates int64 `json:"duplicates"`
	// OutOfOrder are those that the broker had first behind a later one of
	// their aggregate: of the same transaction, or of one that was opened when
	// theirs was committed. Transactions side by side have no order.
	OutOfOrder int64 `json:"out_of_order"`
	// Altered had another body or group than was written, or were never written.
	Altered int64 `json:"altered"`
	// Unsent are those that the system took for unsent at the end of a cut run.
	Unsent int64 `json:"unsent"`
	// Lost did not arrive, and the system takes them for sent. In a cut run an
	// event that arrived and is not yet marked may hide one of these.
	Lost int64 `json:"lost"`
}

// findings compares what was committed with what the broker accepted.
func findings(cfg load.Config, commits []load.Commit, accepted []broker.Acceptance, unsent int64) Findings {
	f := Findings{Unsent: unsent}
	events := load.New(cfg)
	by := map[int64]*load.Commit{}
	for i := range commits {
		c := &commits[i]
		f.Committed += c.Count
		for n := c.First; n < c.First+c.Count; n++ {
			by[n] = c
		}
	}
	type part struct{ aggregate, transaction int64 }
	opened := map[int64]int64{}  // when the last transaction that arrived of an aggregate was
	latest := map[part]int64{}   // the last event that arrived of an aggregate and a transaction
	seen := map[int64]struct{}{} // the events that arrived
	for i := range accepted {
		a := &accepted[i]
		c := by[a.Number]
		if c == nil || a.Group != int64(events.Aggregate(a.Number)) || a.Sum != load.Sum(events.Payload(a.Number)) {
			f.Altered++
		}
		if c == nil {
			continue
		}
		if _, again := seen[a.Number]; again {
			f.Duplicates++
			continue
		}
		seen[a.Number] = struct{}{}
		p := part{int64(events.Aggregate(a.Number)), c.First}
		if before, ok := latest[p]; ok && before > a.Number || opened[p.aggregate] >= c.Done {
			f.OutOfOrder++
		}
		opened[p.aggregate] = max(opened[p.aggregate], c.Opened)
		latest[p] = max(latest[p], a.Number)
	}
	f.Arrived = int64(len(seen))
	f.Lost = max(0, f.Committed-f.Arrived-unsent)
	return f
}

var errNothing = errors.New("the peer sent nothing")

// judgePeer works out the latencies and what became of the events. A peer that
// breaks a promise that is ours is a finding and no failure.
func (t *trial) judgePeer(ctx context.Context, r *Result) error {
	commits, err := load.ReadCommits(t.path("commits"))
	if err != nil {
		return err
	}
	accepted, err := broker.Read(t.path("accepted"))
	if err != nil {
		return err
	}
	if len(accepted) == 0 {
		return errNothing
	}
	unsent, err := t.unsent(ctx)
	if err != nil {
		return err
	}
	found := findings(t.Config, commits, accepted, unsent)
	r.Findings = &found
	r.fill(commits, accepted)
	return nil
}
