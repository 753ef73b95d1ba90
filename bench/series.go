//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// sample is the state of a run at one time. Counts and processor time are totals since the system started;
// Messages counts those that the broker accepted, Memory is the resident size of the relay or peer.
type sample struct {
	At       time.Time     `json:"at"`
	Messages int64         `json:"messages"`
	Memory   int64         `json:"relay_bytes"`
	CPU      time.Duration `json:"relay_cpu"`
	// Fetches counts executions of the statement that reads new events, FetchMS is their time with planning,
	// and FetchRows counts the rows that they returned, all from pg_stat_statements. All are 0 for a peer.
	Fetches   int64   `json:"fetches"`
	FetchMS   float64 `json:"fetch_ms"`
	FetchRows int64   `json:"fetch_rows"`
	// Dead is PostgreSQL's estimate of dead rows in all partitions of outbox.events, or in all tables of a
	// peer; Bytes is their size with indexes.
	Dead  int64 `json:"dead_tuples"`
	Bytes int64 `json:"events_bytes"`
	// WAL is the bytes of WAL since the server was set up.
	WAL int64 `json:"wal_bytes"`
}

// sampleSQL reads a sample of a run of this project's relay.
const sampleSQL = `
select coalesce(f.calls, 0), coalesce(f.ms, 0), coalesce(f.rows, 0), t.dead, t.bytes, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
from (select sum(s.calls)::bigint as calls, sum(s.total_exec_time + s.total_plan_time) as ms, sum(s.rows)::bigint as rows
      from pg_stat_statements s
      where s.dbid = (select d.oid from pg_database d where d.datname = current_database())
        and s.query like '%outbox.read_new(%' and s.userid = to_regrole('bench_system')::oid) as f,
     (select coalesce(sum(pg_stat_get_dead_tuples(p.relid)), 0)::bigint as dead, coalesce(sum(pg_total_relation_size(p.relid)), 0)::bigint as bytes
      from pg_partition_tree('outbox.events') p where p.isleaf) as t`

// peerSQL reads a sample of a peer's run, without its fetches, whose statement is not known.
const peerSQL = `
select 0::bigint, 0::float8, 0::bigint, coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(pg_total_relation_size(relid)), 0)::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
from pg_stat_user_tables`

// watch adds a sample to t.samples every second until ctx ends. A sample that cannot be taken is logged and
// counted in t.unsampled.
func (t *trial) watch(ctx context.Context) {
	query := sampleSQL
	if t.peer != nil {
		query = peerSQL
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s := sample{At: time.Now(), Memory: memory(t.systemPID), CPU: processor(t.systemPID, false)}
		var err error
		if s.Messages, err = t.count(ctx); err == nil {
			err = t.pool.QueryRow(ctx, query).Scan(&s.Fetches, &s.FetchMS, &s.FetchRows, &s.Dead, &s.Bytes, &s.WAL)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			_, _ = fmt.Fprintln(t.log, "sample:", err)
			t.unsampled++
		default:
			t.samples = append(t.samples, s)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Point is one interval of a run. It ends Seconds after the first sample. Dead, TableMB and MemoryMB are the
// state at its end; Rate and WALMB are of the interval alone.
type Point struct {
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"events_per_second"`
	// FromDue is the latency of the events that were due in the interval.
	FromDue Latency `json:"from_due"`
	// FetchMS is the mean time of a fetch in milliseconds, FetchRows the mean number of rows that it returned;
	// both are 0 when there was no fetch.
	FetchMS   float64 `json:"fetch_ms"`
	FetchRows float64 `json:"rows_per_fetch"`
	Dead      int64   `json:"dead_tuples"`
	TableMB   float64 `json:"events_mb"`
	WALMB     float64 `json:"wal_mb"`
	MemoryMB  float64 `json:"relay_mb"`
}

// series makes r.Series from the samples, one point for each interval of the length every. due has the latencies of
// events by the second in which they were due, counted from the time first in Unix nanoseconds; nil gives points
// without latencies. With fewer than two samples there are no points.
func (r *Result) series(every time.Duration, due map[int64][]time.Duration, first int64) {
	if len(r.Samples) < 2 {
		return
	}
	from := r.Samples[0]
	for _, s := range r.Samples[1:] {
		// Samples are a second apart, and some come a little early.
		if s.At.Sub(from.At) < every-time.Second/2 {
			continue
		}
		r.Series = append(r.Series, between(from, s, r.Samples[0].At))
		p := &r.Series[len(r.Series)-1]
		var within []time.Duration
		for second := secondOf(from.At, first); second < secondOf(s.At, first); second++ {
			within = append(within, due[second]...)
		}
		p.FromDue = percentiles(within)
		from = s
	}
}

func secondOf(at time.Time, first int64) int64 { return (at.UnixNano() - first) / int64(time.Second) }

// between returns the point, without its latencies, for the interval between two samples of a run whose first
// sample was taken at start.
func between(from, to sample, start time.Time) Point {
	elapsed := to.At.Sub(from.At).Seconds()
	p := Point{
		Seconds: to.At.Sub(start).Seconds(), Rate: float64(to.Messages-from.Messages) / elapsed, Dead: to.Dead,
		TableMB: float64(to.Bytes) / (1 << 20), WALMB: float64(to.WAL-from.WAL) / (1 << 20), MemoryMB: float64(to.Memory) / (1 << 20),
	}
	if n := to.Fetches - from.Fetches; n > 0 {
		p.FetchMS, p.FetchRows = (to.FetchMS-from.FetchMS)/float64(n), float64(to.FetchRows-from.FetchRows)/float64(n)
	}
	return p
}

func (t *trial) count(ctx context.Context) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.address+"/count", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	var c struct{ Messages, Malformed int64 }
	if err = json.NewDecoder(response.Body).Decode(&c); err != nil {
		return 0, err
	}
	if c.Malformed > 0 {
		return 0, fmt.Errorf("the broker got %d requests that it cannot read", c.Malformed)
	}
	return c.Messages, nil
}
