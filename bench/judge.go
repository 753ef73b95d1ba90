//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

var errHistory = errors.New("the history breaks a promise")

// judge sets the rates and latencies of a relay's run r, from what was committed and accepted, and reads from the
// database what was marked as sent. It returns an errHistory when the history breaks a promise, such as an event
// lost, reordered or sent twice, or not every committed event arrived. It deletes the archived events of the
// scenario from the database.
func (t *trial) judge(ctx context.Context, r *Result, commits []load.Commit, accepted []broker.Acceptance) error {
	rows, err := t.rows(ctx)
	if err != nil {
		return err
	}
	rec := history.New()
	events := load.New(t.Config)
	for _, c := range commits {
		batch := make([]history.Event, c.Count)
		for i := range batch {
			n := c.First + int64(i)
			l := outbox.Lane{Destination: outbox.DefaultDestination, AggregateType: load.AggregateType, AggregateID: strconv.Itoa(events.Aggregate(n))}
			batch[i] = history.Event{
				EventID: load.EventID(n), Row: rows[n], Lane: l,
				Group: outbox.GroupID(l.AggregateType, l.AggregateID), Sum: load.Sum(events.Payload(n)),
			}
		}
		rec.Committed(history.Commit{Began: time.Unix(0, c.Began), Done: time.Unix(0, c.Done)}, batch...)
	}
	for i := range accepted {
		a := &accepted[i]
		id := load.EventID(a.Number)
		rec.Accepted(history.Acceptance{
			EventID: id, DeduplicationID: id.String(), Destination: outbox.DefaultDestination,
			Group:     outbox.GroupID(load.AggregateType, strconv.FormatInt(a.Group, 10)),
			MessageID: broker.MessageID(i), SequenceNumber: broker.SequenceNumber(i), At: time.Unix(0, a.Arrived), Sum: a.Sum,
		})
	}
	// The archived events of the scenario are no part of its load.
	if _, err = t.pool.Exec(ctx, "delete from outbox.archive where aggregate_type = 'old'"); err != nil {
		return err
	}
	if err = rec.ReadFinals(ctx, t.pool, nil); err != nil {
		return err
	}
	verdict := rec.Check(history.Config{})
	if t.peers != nil {
		found := findings(t.Config, commits, accepted, 0)
		r.Findings = &found
	}
	r.fill(commits, accepted)
	if verdict.Accepted != verdict.Committed || int64(verdict.Committed) != r.Events {
		return fmt.Errorf("%w: %d committed, %d accepted, %d counted", errHistory, verdict.Committed, verdict.Accepted, r.Events)
	}
	if !verdict.OK() {
		return fmt.Errorf("%w: %s", errHistory, verdict)
	}
	return nil
}

// rows returns the id in outbox.events of each event, by the number that package load gives the event.
func (t *trial) rows(ctx context.Context) (map[int64]int64, error) {
	all, err := t.pool.Query(ctx, "select id, event_id from outbox.events")
	if err != nil {
		return nil, err
	}
	rows := make(map[int64]int64)
	var id int64
	var event [16]byte
	_, err = pgx.ForEachRow(all, []any{&id, &event}, func() error {
		rows[load.Number(event)] = id
		return nil
	})
	return rows, err
}

// fill sets the counts of events and requests, the rates, the series and, of a load with a Rate, the latencies of r;
// when nothing was accepted, it sets Events to 0 and nothing else.
func (r *Result) fill(commits []load.Commit, accepted []broker.Acceptance) {
	r.Events = int64(len(accepted))
	if r.Events == 0 {
		return
	}
	type times struct{ due, began int64 }
	by := make(map[int64]times, len(accepted))
	first, last := commits[0].Due, int64(0)
	for _, c := range commits {
		first = min(first, c.Due)
		r.ProducerLate = max(r.ProducerLate, time.Duration(c.Began-c.Due))
		for n := c.First; n < c.First+c.Count; n++ {
			by[n] = times{c.Due, c.Began}
		}
	}
	if r.Fill > 0 {
		first = accepted[0].Arrived
	}
	var commit, due []time.Duration
	seconds := map[int64][]time.Duration{}
	requests := map[int64]struct{}{}
	for i := range accepted {
		a := &accepted[i]
		last = max(last, a.Answered)
		t := by[a.Number]
		commit = append(commit, time.Duration(a.Answered-t.began))
		due = append(due, time.Duration(a.Answered-t.due))
		second := (t.due - first) / int64(time.Second)
		seconds[second] = append(seconds[second], due[i])
		requests[a.Answered] = struct{}{}
	}
	if r.Rate > 0 {
		r.series(min(5*time.Second, max(time.Second, r.Duration/20)), seconds, first)
	} else {
		r.series(time.Second, nil, first)
	}
	r.Seconds = time.Duration(last - first).Seconds()
	r.Achieved = float64(r.Events) / r.Seconds
	r.Requests = int64(len(requests))
	r.BatchFill = float64(r.Events) / float64(r.Requests)
	r.RequestsPerEvent = float64(r.Requests) / float64(r.Events)
	if r.Rate > 0 {
		r.FromCommit, r.FromDue = percentiles(commit), percentiles(due)
		for s := range int64(len(seconds)) {
			r.BySecond = append(r.BySecond, percentiles(seconds[s]))
		}
	}
}

// percentiles sorts d and returns its percentiles, zeros for an empty d.
func percentiles(d []time.Duration) Latency {
	if len(d) == 0 {
		return Latency{}
	}
	slices.Sort(d)
	at := func(q float64) float64 {
		return float64(d[min(len(d)-1, int(q*float64(len(d))))]) / float64(time.Millisecond)
	}
	return Latency{P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}
}
