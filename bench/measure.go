//go:build unix

package main

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// usage is what a run's processes and its database have used, in totals up to the time at: processor time of
// relay (or peer), broker and PostgreSQL since each started, of all producers that have ended, and of the
// machine since it started; bytes of WAL since the server was set up, and transactions since the database was made.
// A run's own usage is the difference of two.
type usage struct {
	at                                          time.Time
	relay, postgres, broker, producers, machine time.Duration
	wal                                         int64
	transactions                                int64
}

// measure returns the usage up to now: it reads /proc and the counters of PostgreSQL. The relay's time is 0
// before the relay has started.
func (t *trial) measure(ctx context.Context) (usage, error) {
	u := usage{at: time.Now(), machine: machineBusy()}
	if t.systemPID != 0 {
		u.relay = processor(t.systemPID, false)
	}
	u.broker = processor(t.broker.cmd.Process.Pid, false)
	// The producers have ended: they are among the children that were waited for.
	var children syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		return u, err
	}
	u.producers = time.Duration(children.Utime.Nano() + children.Stime.Nano())
	for _, pid := range processesIn(t.dataDir) {
		u.postgres += processor(pid, t.postmaster() == pid)
	}
	err := t.pool.QueryRow(ctx, `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
		(select xact_commit + xact_rollback from pg_stat_database where datname = current_database())`).Scan(&u.wal, &u.transactions)
	return u, err
}

// statement is the cost, in total, of one statement of the relay under test, from pg_stat_statements.
type statement struct {
	Query  string  `json:"query"`
	Calls  int64   `json:"calls"`
	Rows   int64   `json:"rows"`
	PlanMS float64 `json:"plan_ms"`
	ExecMS float64 `json:"exec_ms"`
}

// systemLogin is the database user as which the relay under test connects, so that its statements can be told
// from others. It has the rights of a deployed relay.
const systemLogin = "bench_system"

// login makes the user systemLogin, where there is none, and returns the URL with which the relay under test
// connects to the database.
func (t *trial) login(ctx context.Context) (string, error) {
	_, err := t.pool.Exec(ctx, `
do $$
begin
    if to_regrole('bench_system') is null then
        create role bench_system login password 'bench';
    end if;
    grant outbox_relay to bench_system;
end
$$`)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(t.database)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(systemLogin, "bench")
	return u.String(), nil
}

// statements returns the statements of the user systemLogin, the most expensive first: those of the relay under test,
// and none for a peer, which connects as another user.
func (t *trial) statements(ctx context.Context) ([]statement, error) {
	rows, err := t.pool.Query(ctx, `
select s.query, s.calls, s.rows, s.total_plan_time, s.total_exec_time
from pg_stat_statements s
where s.userid = to_regrole($1)::oid and s.dbid = (select d.oid from pg_database d where d.datname = current_database())
order by s.total_plan_time + s.total_exec_time desc`, systemLogin)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[statement])
}

// postmaster returns the id of PostgreSQL's main process, and 0 when there is none.
func (t *trial) postmaster() int {
	b, err := os.ReadFile(t.dataDir + "/postmaster.pid")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}

func (r *Result) account(before, after usage) {
	r.elapsed = after.at.Sub(before.at)
	r.used = usage{
		relay: after.relay - before.relay, postgres: after.postgres - before.postgres, broker: after.broker - before.broker,
		producers: after.producers - before.producers, machine: after.machine - before.machine,
		wal: after.wal - before.wal, transactions: after.transactions - before.transactions,
	}
}

// divide sets the costs per event, ForeignCores, RelayLoops, EventsPerLoop and the largest memory. It needs Events,
// Achieved, LoopUS, Statements, Samples, used and elapsed to be set.
func (r *Result) divide() {
	n := float64(max(r.Events, 1))
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	u := r.used
	r.RelayCPU, r.PostgresCPU, r.BrokerCPU, r.ProducerCPU = us(u.relay), us(u.postgres), us(u.broker), us(u.producers)
	r.WALBytes, r.Transactions = float64(u.wal)/n, float64(u.transactions)/n
	r.ForeignCores = max(0, float64(u.machine-u.relay-u.postgres-u.broker-u.producers)/float64(r.elapsed))
	if r.LoopUS > 0 {
		r.RelayLoops, r.EventsPerLoop = r.RelayCPU/r.LoopUS, r.Achieved*r.LoopUS/1e6
	}
	for _, s := range r.Statements {
		r.StatementsPerEvent += float64(s.Calls) / n
	}
	for i := range r.Samples {
		r.MemoryMB = max(r.MemoryMB, float64(r.Samples[i].Memory)/(1<<20))
	}
}
