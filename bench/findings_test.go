//go:build unix

package main

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

func TestFindingsCountWhatBecameOfTheEvents(t *testing.T) {
	t.Parallel()
	cfg := load.Config{Aggregates: 1, Bytes: 100}
	events := load.New(cfg)
	accept := func(numbers ...int64) []broker.Acceptance {
		var all []broker.Acceptance
		for _, n := range numbers {
			all = append(all, broker.Acceptance{Number: n, Sum: load.Sum(events.Payload(n))})
		}
		return all
	}
	// Two transactions behind one another, and one beside the second.
	commits := []load.Commit{
		{First: 0, Count: 2, Opened: 1, Began: 2, Done: 3},
		{First: 2, Count: 2, Opened: 4, Began: 6, Done: 8},
		{First: 4, Count: 2, Opened: 5, Began: 7, Done: 9},
	}
	altered := accept(0, 1, 2, 3, 4, 5)
	altered[2].Sum++
	altered[3].Group = 1
	for _, test := range []struct {
		name     string
		accepted []broker.Acceptance
		unsent   int64
		want     Findings
	}{
		{"all is well", accept(0, 1, 2, 3, 4, 5), 0, Findings{Arrived: 6}},
		{"side by side there is no order", accept(0, 1, 4, 2, 5, 3), 0, Findings{Arrived: 6}},
		{"overtaken within a transaction", accept(1, 0, 2, 3, 4, 5), 0, Findings{Arrived: 6, OutOfOrder: 1}},
		{"overtaken by a later transaction", accept(0, 2, 1, 3, 4, 5), 0, Findings{Arrived: 6, OutOfOrder: 1}},
		{"a repeated one is not out of order", accept(0, 1, 2, 3, 4, 5, 0, 0), 0, Findings{Arrived: 6, Duplicates: 2}},
		{"cut", accept(0, 1, 2, 3), 2, Findings{Arrived: 4, Unsent: 2}},
		{"lost", accept(0, 1, 2, 3), 1, Findings{Arrived: 4, Unsent: 1, Lost: 1}},
		{"altered", altered, 0, Findings{Arrived: 6, Altered: 2}},
		{"never written", append(accept(0, 1, 2, 3, 4, 5), accept(9)...), 0, Findings{Arrived: 6, Altered: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.want.Committed = 6
			if got := findings(cfg, commits, test.accepted, test.unsent); got != test.want {
				t.Errorf("findings %+v, want %+v", got, test.want)
			}
		})
	}
}
