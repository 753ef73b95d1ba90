package telemetry

import (
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Metric describes a metric, for lines and for docs/metrics.md. Unit is a unit of CloudWatch.
type Metric struct {
	Name    string
	Unit    string
	Meaning string
	// Always is true for a metric that is written while it is zero too. Others are left out, since CloudWatch bills
	// each metric for every hour in which it was written.
	Always bool
}

// metric is a Metric with the function value, which computes its value from a report T.
type metric[T any] struct {
	Metric
	value func(*T) float64
}

// count makes a metric in the unit Count that is left out while it is zero.
func count[T any](name, meaning string, value func(*T) int64) metric[T] {
	return measure(name, "Count", meaning, func(r *T) float64 { return float64(value(r)) })
}

// always returns m as a metric that is written while it is zero too.
func always[T any](m metric[T]) metric[T] {
	m.Always = true
	return m
}

// measure makes a metric in the CloudWatch unit unit that is left out while it is zero.
func measure[T any](name, unit, meaning string, value func(*T) float64) metric[T] {
	return metric[T]{Metric{Name: name, Unit: unit, Meaning: meaning}, value}
}

// gauge makes a metric of a state, in the CloudWatch unit unit, that is written while it is zero too.
func gauge[T any](name, unit, meaning string, value func(*T) float64) metric[T] {
	return always(measure(name, unit, meaning, value))
}

// latency returns the description of Latency, the only metric that has many values in a line.
func latency() Metric {
	return Metric{Name: "Latency", Unit: "Milliseconds", Meaning: "time from insert to acceptance, as up to 100 values spread evenly over all of them, so that percentiles hold and the number of samples does not"}
}

// relayMetrics returns the metrics of a relay, without Latency. A gauge has its value at the time of the line; any other
// metric is about the time since the line before.
func relayMetrics() []metric[relay.Report] {
	type r = relay.Report
	return []metric[r]{
		gauge("Heartbeat", "Count", "1 in every line: alarm on its absence", func(*r) float64 { return 1 }),
		gauge("Backlog", "Count", "unsent events behind the position, counted up to a limit", func(r *r) float64 { return float64(r.Backlog.Pending) }),
		gauge("OldestAge", "Seconds", "age of the oldest unsent event", func(r *r) float64 { return r.Backlog.Oldest.Seconds() }),
		gauge("Shards", "Count", "shards that this relay owns", func(r *r) float64 { return float64(r.Shards) }),
		gauge("Buffered", "Count", "events in memory", func(r *r) float64 { return float64(r.Buffered) }),
		gauge("BufferedBytes", "Bytes", "size of the events in memory", func(r *r) float64 { return float64(r.BufferedBytes) }),
		gauge("InFlight", "Count", "events in calls at the time of the line", func(r *r) float64 { return float64(r.InFlight) }),
		gauge("Gaps", "Count", "id ranges that a late commit may still fill", func(r *r) float64 { return float64(r.Gaps) }),
		always(count("Fetched", "events read", func(r *r) int64 { return r.Fetched })),
		always(count("Published", "events that their destination accepted", func(r *r) int64 { return r.Published })),
		always(count("Settled", "events marked as sent", func(r *r) int64 { return r.Settled })),
		always(count("Batches", "calls to destinations", func(r *r) int64 { return r.Batches })),
		measure("BatchFill", "None", "events per call to a destination", func(r *r) float64 { return float64(r.BatchEntries) / float64(max(1, r.Batches)) }),
		count("DeadLetters", "events that became dead letters", func(r *r) int64 { return r.DeadLetters }),
		count("Blocked", "dead letters that blocked their lane", func(r *r) int64 { return r.Blocked }),
		count("Transient", "results of class transient: refused now, sent again later", func(r *r) int64 { return r.Transient }),
		count("Throttled", "results of class throttled", func(r *r) int64 { return r.Throttled }),
		count("Unknown", "results of class unknown: each event is sent again with the same deduplication id", func(r *r) int64 { return r.Unknown }),
		count("Unavailable", "results of class unavailable: the destination refused everything", func(r *r) int64 { return r.Unavailable }),
		count("NoDestination", "readings of events whose destination is not configured, each sweep again; they wait", func(r *r) int64 { return r.NoDestination }),
		count("HandOvers", "shards given to another relay", func(r *r) int64 { return r.HandOvers }),
		count("Fenced", "accepted events that could not be settled because the lease was lost", func(r *r) int64 { return r.Fenced }),
		count("Mismatched", "events sent or given up whose ids are other events' now: ids came again", func(r *r) int64 { return r.Mismatched }),
		count("Eras", "times that row ids were found to have come again, and reading started over", func(r *r) int64 { return r.Eras }),
		count("Swallowed", "events that a broker took for duplicates of other events, and does not deliver", func(r *r) int64 { return r.Swallowed }),
		count("Late", "events found in a gap, committed after a higher id had been read", func(r *r) int64 { return r.Late }),
		count("Strays", "events that a sweep found behind the position, where none should appear", func(r *r) int64 { return r.Strays }),
		count("Withheld", "calls not started because the lease was about to end", func(r *r) int64 { return r.Withheld }),
		count("FetchErrors", "failed reads of events", func(r *r) int64 { return r.FetchErrors }),
		count("SettleErrors", "failed settlements", func(r *r) int64 { return r.SettleErrors }),
		count("RenewErrors", "failed renewals of the lease", func(r *r) int64 { return r.RenewErrors }),
	}
}

// destinationMetrics returns the metrics of one destination of a relay, which have the further dimension Destination.
func destinationMetrics() []metric[relay.DestinationCounts] {
	type d = relay.DestinationCounts
	return []metric[d]{
		always(count("Published", "events that the destination accepted", func(d *d) int64 { return d.Published })),
		gauge("Concurrency", "Count", "calls allowed in flight", func(d *d) float64 { return float64(d.Concurrency) }),
		count("DeadLetters", "events that became dead letters", func(d *d) int64 { return d.DeadLetters }),
		count("Throttled", "results of class throttled", func(d *d) int64 { return d.Throttled }),
		count("Unavailable", "results of class unavailable", func(d *d) int64 { return d.Unavailable }),
	}
}
