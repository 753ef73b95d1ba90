//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

type options struct {
	run, set, out string
	rounds        int
	latency       time.Duration
	scale         float64
	length        time.Duration
	backlog       int64
	profile       bool
	env           map[string]string
	// peers is the program with all peers. It is nil unless the set of scenarios is "peers".
	peers *peerProgram
}

// Latency has percentiles, and the maximum, of a run's or an interval's latencies in milliseconds. All are 0
// when there were none.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// Result is what one run measured. Events is how many messages the broker accepted, Seconds the length of the time over
// which Achieved is the rate. RelayCPU to ProducerCPU are microseconds of processor time per event, WALBytes is
// bytes per event, MemoryMB the largest size of the relay (or peer) in MiB. Round is counted from 0.
type Result struct {
	Scenario

	Round   int     `json:"round"`
	Events  int64   `json:"events"`
	Seconds float64 `json:"seconds"`
	// Achieved is the rate in events a second, from when the first event of a load was due, or the first event of
	// a backlog arrived, to the broker's last answer.
	Achieved float64 `json:"events_per_second"`
	// FromCommit is the latency from the request of an event's commit to the broker's answer, FromDue that from the
	// time at which the schedule had the event's transaction begin. Both are 0 without a load.
	FromCommit Latency `json:"from_commit"`
	FromDue    Latency `json:"from_due"`
	// ProducerLate is the longest time by which a commit was requested later than the schedule had its
	// transaction begin. Requests is the number of calls that the broker accepted, BatchFill the mean number of
	// messages in a call.
	ProducerLate time.Duration `json:"producer_late"`
	Requests     int64         `json:"requests"`
	BatchFill    float64       `json:"batch_fill"`
	// RequestsPerEvent is the number of calls to the broker divided by the number of events.
	RequestsPerEvent float64 `json:"requests_per_event"`

	RelayCPU    float64 `json:"relay_cpu_us"`
	PostgresCPU float64 `json:"postgres_cpu_us"`
	BrokerCPU   float64 `json:"broker_cpu_us"`
	ProducerCPU float64 `json:"producer_cpu_us"`
	// ForeignCores is the mean number of processors that processes which are no part of the run kept busy.
	ForeignCores float64 `json:"foreign_cores"`
	WALBytes     float64 `json:"wal_bytes"`
	// Transactions is the number of transactions, per event, of the whole database, the producer's included.
	Transactions float64 `json:"database_transactions"`
	MemoryMB     float64 `json:"relay_peak_mb"`
	// LoopUS is the time, in microseconds, of one turn of the calibration loop right before the run. RelayLoops
	// is RelayCPU in such turns, EventsPerLoop how many events were sent, at Achieved, in the time of a turn.
	LoopUS        float64 `json:"loop_us"`
	RelayLoops    float64 `json:"relay_cpu_loops"`
	EventsPerLoop float64 `json:"events_per_loop"`
	// StatementsPerEvent is the number of SQL statements, per event, that the relay executed; Statements are these,
	// the most expensive first. Both are empty for a peer.
	StatementsPerEvent float64     `json:"statements_per_event"`
	Statements         []statement `json:"statements"`

	// CutShort is set when a peer had not sent everything within Scenario.Cut. Achieved is then the rate of the
	// events that arrived. Findings is nil unless the set of scenarios is "peers".
	CutShort bool      `json:"cut_short,omitempty"`
	Findings *Findings `json:"findings,omitempty"`

	// BySecond has the latencies from due to answer of the events that were due in each second of a load; empty
	// for a backlog.
	BySecond []Latency `json:"by_second,omitempty"`
	// Series has a point for every second of a backlog; of a load one for every five seconds, or for each twentieth of
	// a length below 100 s, but not more than one for a second.
	Series  []Point  `json:"series,omitempty"`
	Samples []sample `json:"samples,omitempty"`
	// Unsampled counts the samples, of one each second, that could not be taken.
	Unsampled int `json:"unsampled,omitempty"`

	used    usage
	elapsed time.Duration
}

// report is the content of results.json.
type report struct {
	Machine  string            `json:"machine"`
	CPUs     int               `json:"cpus"`
	Go       string            `json:"go"`
	Postgres string            `json:"postgres"`
	Settings map[string]string `json:"settings"`
	Began    time.Time         `json:"began"`
	Results  []*Result         `json:"results"`
	Verdicts []Verdict         `json:"verdicts,omitempty"`
	Peers    []load.Peer       `json:"peers,omitempty"`
	Ratios   []Ratio           `json:"ratios,omitempty"`
	// Failed has, for each run without a result, its scenario, its round and the error.
	Failed []string `json:"failed,omitempty"`
}

// settings returns the settings of the PostgreSQL that the set of scenarios runs on: it writes durably, and has
// memory for the load.
func (o *options) settings() map[string]string {
	all := map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "synchronous_commit": "on", "full_page_writes": "on",
		"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on",
	}
	if o.set == setPeers {
		// A table in use has statistics. Without them River has a twentieth of its
		// rate for the first minute, which is how long autovacuum waits by default.
		all["autovacuum_naptime"] = "1s"
	}
	return all
}

func (o *options) campaign(ctx context.Context) error {
	scenarios, err := o.scenarios()
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile("^(?:" + o.run + ")$")
	if err != nil {
		return err
	}
	folder := rig.Deployed
	if o.profile {
		folder = rig.Tuned
	}
	program, err := rig.Build(ctx, folder)
	if err != nil {
		return err
	}
	rep := &report{Began: time.Now().UTC(), CPUs: runtime.NumCPU(), Go: runtime.Version(), Machine: processorName(), Settings: o.settings()}
	if o.set == setPeers {
		if o.peers, err = buildPeers(ctx, program.Root); err != nil {
			return err
		}
		rep.Peers = o.peers.list
	}
	if o.out == "" {
		o.out = filepath.Join(program.Root, "bench", "results", rep.Began.Format("20060102-150405"))
	}
	if err = os.MkdirAll(o.out, 0o750); err != nil {
		return err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{Fsync: true, Settings: rep.Settings})
	if err != nil {
		return err
	}
	defer server.Stop() //nolint:errcheck // the server ends with this process
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return err
	}
	err = errors.Join(conn.QueryRow(ctx, "show server_version").Scan(&rep.Postgres), conn.Close(ctx))
	if err != nil {
		return err
	}
	failed := o.turns(ctx, rep, scenarios, wanted, server.URL(), program.Binary)
	fmt.Println()
	table(os.Stdout, rep.Results, true)
	for _, r := range rep.Results {
		rep.Verdicts = append(rep.Verdicts, r.steady()...)
	}
	rep.Verdicts = append(rep.Verdicts, compared(rep.Results)...)
	failed = append(failed, tell(os.Stdout, rep.Verdicts))
	if o.set == setPeers {
		rep.Ratios = ratios(rep.Results)
		peerTables(os.Stdout, rep.Results, rep.Ratios)
	}
	if err = o.save(rep); err == nil {
		fmt.Println("\nresults:", o.path())
	}
	return errors.Join(append(failed, err)...)
}

// turns runs the scenarios whose name matches wanted, all of them when no pattern was given, round after round,
// until ctx ends, and adds the results to rep. It returns the errors of the runs that failed. It saves the
// report after each run with a result, since a campaign of an hour may be interrupted.
func (o *options) turns(ctx context.Context, rep *report, scenarios []Scenario, wanted *regexp.Regexp, server, program string) []error {
	var failed []error
	for round := range o.rounds {
		for _, s := range scenarios {
			if o.run != "" && !wanted.MatchString(s.Name) {
				continue
			}
			result, err := o.one(ctx, s, round, server, program)
			if ctx.Err() != nil {
				return append(failed, ctx.Err())
			}
			if err != nil {
				err = fmt.Errorf("%s, round %d: %w", s.Name, round, err)
				fmt.Fprintln(os.Stderr, err)
				failed = append(failed, err)
				rep.Failed = append(rep.Failed, err.Error())
				continue
			}
			rep.Results = append(rep.Results, result)
			table(os.Stdout, []*Result{result}, len(rep.Results) == 1)
			if err = o.save(rep); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return failed
}

func (o *options) path() string { return filepath.Join(o.out, "results.json") }

func (o *options) save(rep *report) error {
	b, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.path(), b, 0o600)
}

func (o *options) one(ctx context.Context, s Scenario, round int, server, program string) (*Result, error) {
	peer, err := o.peers.find(s.System)
	if err != nil {
		return nil, err
	}
	t := &trial{Scenario: s, peers: o.peers, peer: peer, server: server, program: program, dir: filepath.Join(o.out, fmt.Sprintf("%s-%d", s.Name, round))}
	if err = os.MkdirAll(t.dir, 0o750); err != nil {
		return nil, err
	}
	log, err := os.Create(t.path("log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // a log that is lost fails no run
	t.log = log
	if o.profile && s.System == systemRelay {
		var port int
		if port, err = process.FreePort(ctx); err != nil {
			return nil, err
		}
		t.pprof = fmt.Sprintf("127.0.0.1:%d", port)
	}
	r, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	r.Round = round
	r.divide()
	return r, nil
}

func table(out io.Writer, results []*Result, head bool) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if head {
		_, _ = fmt.Fprintln(w, "scenario\tevents/s\tfill\tcommit p50\tp99\tp99.9 ms\tdue p99\trelay\tPG\tbroker\tproducer µs\tWAL B\tstatements\tMB\tloop µs\trelay, loops\tforeign cores\t")
	}
	for _, r := range results {
		_, _ = fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.3f\t%.0f\t%.1f\t%.2f\t%.2f\t\n",
			r.Name, r.Achieved, r.BatchFill, r.FromCommit.P50, r.FromCommit.P99, r.FromCommit.P999, r.FromDue.P99,
			r.RelayCPU, r.PostgresCPU, r.BrokerCPU, r.ProducerCPU, r.WALBytes, r.StatementsPerEvent, r.MemoryMB, r.LoopUS, r.RelayLoops, r.ForeignCores)
	}
	_ = w.Flush() // a terminal that is gone fails no run
}
