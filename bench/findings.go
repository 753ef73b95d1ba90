//go:build unix

package main

import (
	"context"
	"errors"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// Findings count what happened to the committed events of a run.
type Findings struct {
	Committed int64 `json:"committed"`
	// Arrived counts the events that the broker accepted, Duplicates its further
	// acceptances of the same events.
	Arrived    int64 `json:"arrived"`
	Duplicates int64 `json:"duplicates"`
	// OutOfOrder counts the events that the broker first accepted after a later event of their aggregate. Later
	// is an event further back in the same transaction, or one of a transaction that was opened after the first
	// one's commit; transactions that overlap have no order.
	OutOfOrder int64 `json:"out_of_order"`
	// Altered counts the acceptances that had another body or group than was written, or were of an event that
	// was never written.
	Altered int64 `json:"altered"`
	// Unsent counts the events that the system takes for unsent at the end of a run that was cut short.
	Unsent int64 `json:"unsent"`
	// Lost counts the events that did not arrive and that the system takes for sent. In a run that was cut
	// short, an event that arrived and is not yet marked as sent may hide a lost one.
	Lost int64 `json:"lost"`
}

// findings compares the committed events, which are those of cfg, with what the broker accepted, in the order
// of acceptance. unsent is the number of events that the system takes for unsent.
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
	opened := map[int64]int64{}  // by aggregate, when the latest transaction that arrived was opened
	latest := map[part]int64{}   // by aggregate and transaction, the latest event that arrived
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

// judgePeer sets the findings, rates and latencies of a peer's run r, from what was committed and accepted. It
// fails when the peer sent nothing. A promise of this project's relay that the peer breaks is a finding, and does
// not fail the run.
func (t *trial) judgePeer(ctx context.Context, r *Result, commits []load.Commit, accepted []broker.Acceptance) error {
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
