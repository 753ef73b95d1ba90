//go:build unix

package main

import (
	"fmt"
	"maps"
	"time"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// Scenario describes one run of the benchmark: a system, the events, and how they are written.
type Scenario struct {
	Name string `json:"name"`
	// System is "relay", "limit" for the relay without features of package limit, or the name of a peer.
	System string `json:"system"`
	// Service is "sqs" or "sns". The system "limit" needs "sqs".
	Service string `json:"service"`
	load.Config

	// Fill is the number of events that are written before the system starts: a backlog. 0 is none.
	Fill int64 `json:"backlog,omitempty"`
	// Rate is how many events a second are written while the system runs, for Duration, in transactions of
	// PerTx events on Connections connections. 0 is no such load. Latency is the time from a request to the
	// broker's answer.
	Rate        int           `json:"rate,omitempty"`
	Duration    time.Duration `json:"duration,omitempty"`
	PerTx       int           `json:"events_per_transaction,omitempty"`
	Connections int           `json:"producer_connections,omitempty"`
	Latency     time.Duration `json:"broker_latency"`
	// HoldSnapshot keeps a transaction with a snapshot open during the run, so that no dead row can be
	// vacuumed.
	HoldSnapshot bool `json:"hold_snapshot,omitempty"`
	// Steady has the run judged by whether the time of a fetch and the memory grow from its beginning to its
	// end. It needs a Rate.
	Steady bool `json:"steady,omitempty"`
	// Archived is how many archived partitions of settled events there are before the run, of 5,000 events
	// each.
	Archived int `json:"archived_partitions,omitempty"`
	// Against is the name of the scenario that this one is judged by, in the same round: its rate must be at
	// least 0.9 of that scenario's, its fetch time at most 1.5 times that scenario's. "" is no such judgement.
	Against string `json:"against,omitempty"`
	// Beside is the name of the scenario of this project's relay with which a peer's scenario is compared. ""
	// for the relay's own scenarios.
	Beside string `json:"beside,omitempty"`
	// Cut is the longest time that a peer may take, from its start, or from the end of the load if there is
	// one. Then the run is cut short, which is no failure. Required for peers, ignored for other systems.
	Cut time.Duration `json:"cut_after,omitempty"`
	// Env is added to the relay's environment variables, and replaces those of the same name. Other systems than the
	// relay ignore it.
	Env map[string]string `json:"env,omitempty"`
}

const (
	sqs = "sqs"
	sns = "sns"

	systemRelay = "relay"
	systemLimit = "limit"

	setPeers = "peers"
)

// scenarios returns the scenarios of the set that the command line names, with sizes and lengths multiplied by
// its scale. It fails for an unknown set.
func (o *options) scenarios() ([]Scenario, error) {
	var all []Scenario
	add := func(name string, change func(*Scenario)) {
		s := Scenario{
			Name: name, System: systemRelay, Service: sqs, Latency: o.latency,
			Config: load.Config{Aggregates: 1000, Bytes: 500}, Env: map[string]string{},
		}
		change(&s)
		maps.Copy(s.Env, o.env)
		s.Fill = int64(float64(s.Fill) * o.scale)
		s.Duration = time.Duration(float64(s.Duration) * o.scale)
		all = append(all, s)
	}
	drain := func(n int64) func(*Scenario) { return func(s *Scenario) { s.Fill = n } }
	live := func(rate, perTx, connections int, d time.Duration) func(*Scenario) {
		return func(s *Scenario) {
			s.Rate, s.PerTx, s.Connections, s.Duration = rate, perTx, connections, d
		}
	}
	also := func(f, change func(*Scenario)) func(*Scenario) {
		return func(s *Scenario) { f(s); change(s) }
	}
	asLimit := func(s *Scenario) { s.System = systemLimit }
	asSNS := func(s *Scenario) { s.Service = sns }
	const span = 20 * time.Second
	switch o.set {
	case "quick":
		add("drain", drain(50_000))
		add("drain-limit", also(drain(50_000), asLimit))
		add("live-5000", live(5_000, 10, 4, 5*time.Second))
	case "standard":
		const backlog = 300_000
		add("drain", drain(backlog))
		add("drain-limit", also(drain(backlog), asLimit))
		add("drain-sdk", also(drain(backlog), func(s *Scenario) { s.Env["OUTBOX_SDK_CODEC"] = "true" }))
		add("drain-sns", also(drain(backlog), asSNS))
		add("drain-hot", also(drain(backlog/3), func(s *Scenario) { s.Skew = "hot" }))
		add("drain-zipf", also(drain(backlog/3), func(s *Scenario) { s.Skew = "zipf" }))
		add("drain-4k", also(drain(backlog/6), func(s *Scenario) { s.Bytes = 4 << 10 }))
		add("drain-64k", also(drain(backlog/60), func(s *Scenario) { s.Bytes = 64 << 10 }))
		for _, rate := range []int{1_000, 5_000, 10_000, 20_000} {
			add(fmt.Sprint("live-", rate), live(rate, 10, 4, span))
		}
		add("live-30000", live(30_000, 50, 4, span))
		add("live-10000-sns", also(live(10_000, 10, 4, span), asSNS))
		add("live-5000-single", live(5_000, 1, 16, span))
	case setPeers:
		o.sideBySide(add)
	case "sustain":
		steady := func(s *Scenario) { s.Steady = true }
		add("sustain-snapshot", also(live(5_000, 10, 4, o.length), func(s *Scenario) { s.Steady, s.HoldSnapshot = true, true }))
		add("sustain", also(live(5_000, 10, 4, o.length), steady))
		add("backlog-100000", drain(100_000))
		for _, n := range []int64{1_000_000, 10_000_000} {
			if n <= o.backlog {
				add(fmt.Sprint("backlog-", n), also(drain(n), func(s *Scenario) { s.Against = "backlog-100000" }))
			}
		}
		add("archived-1", also(drain(300_000), func(s *Scenario) { s.Archived = 1 }))
		add("archived-100", also(drain(300_000), func(s *Scenario) { s.Archived, s.Against = 100, "archived-1" }))
	default:
		return nil, fmt.Errorf("there is no set %q", o.set)
	}
	return all, nil
}
