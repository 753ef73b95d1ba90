//go:build unix

package main

import (
	"context"
	"time"
)

// area is what a fault harms. Faults of one area do not overlap.
type area int

const (
	process area = iota
	database
	broker
	areas
)

// effect is what a fault may explain.
type effect int

const (
	// harmless: nothing may be sent twice because of it.
	harmless effect = iota
	// lossy: an answer of the broker may have been lost.
	lossy
	// unsettled: what was accepted and not yet marked may be sent again.
	unsettled
	// frozen: unsettled, and a request that had left may arrive late.
	frozen
)

// kind is a kind of fault.
type kind struct {
	name, what  string
	area        area
	effect      effect
	least, most time.Duration
	// inject does it and returns how often it had an effect. It has undone it
	// when it returns.
	inject func(w *world, ctx context.Context, i *injection) (int, error)
}

func kinds() []kind {
	const s, ms = time.Second, time.Millisecond
	return []kind{
		{"kill", "kill -9 of the relay at work", process, unsettled, 0, 0, (*world).kill},
		{"freeze", "SIGSTOP past the lease, then SIGCONT", process, frozen, leaseTTL + 300*ms, leaseTTL + 1500*ms, (*world).freeze},
		{"deadline", "frozen until the function's deadline, then SIGKILL by the runtime", process, unsettled, relayTimeout + s, relayTimeout + s, (*world).deadline},
		{"ticks", "three ticks at once and a late one", process, harmless, 200 * ms, 900 * ms, (*world).ticks},
		{"pg_crash", "PostgreSQL ends all its processes and recovers", database, unsettled, 0, 0, (*world).crashDatabase},
		{"pg_terminate_claim", "pg_terminate_backend during a renewal", database, unsettled, 700 * ms, 700 * ms, (*world).terminateClaim},
		{"pg_terminate_settle", "pg_terminate_backend during a settlement", database, unsettled, 700 * ms, 700 * ms, (*world).terminateSettle},
		{"pg_cut", "no connection to PostgreSQL", database, unsettled, 200 * ms, 3 * s, (*world).cutDatabase},
		{"pg_reset", "connections to PostgreSQL are reset again and again", database, unsettled, 300 * ms, 1500 * ms, (*world).resetDatabase},
		{"pg_latency", "50 to 250 ms on each way to PostgreSQL", database, unsettled, 500 * ms, 2 * s, (*world).slowDatabase},
		{"pg_stall", "PostgreSQL does not answer, up to past the lease", database, unsettled, 300 * ms, 3 * s, (*world).stallDatabase},
		{"sns_sqs_cut", "no connection to SNS and SQS", broker, lossy, 200 * ms, 2 * s, (*world).cutBroker},
		{"sns_sqs_reset", "connections to SNS and SQS are reset again and again", broker, lossy, 300 * ms, 1500 * ms, (*world).resetBroker},
		{"sns_sqs_latency", "50 to 400 ms on each way to SNS and SQS", broker, lossy, 500 * ms, 2 * s, (*world).slowPath},
		{"sns_sqs_stall", "SNS and SQS do not answer; requests arrive late", broker, lossy, 300 * ms, 2 * s, (*world).stallBroker},
		{"throttle", "SNS and SQS throttle", broker, harmless, 300 * ms, 2 * s, (*world).throttle},
		{"server_error", "500 and 503 for half of the calls", broker, harmless, 300 * ms, 2 * s, (*world).serverError},
		{"drop", "half of the calls are dropped before they are carried out", broker, harmless, 300 * ms, 2 * s, (*world).drop},
		{"lost_response", "calls are carried out and their answer is closed, reset or cut short", broker, lossy, 300 * ms, 1500 * ms, (*world).loseResponse},
		{"hang", "calls are carried out and never answered", broker, lossy, 300 * ms, 1500 * ms, (*world).hang},
		{"slow_answer", "answers after the send timeout", broker, lossy, 300 * ms, 1500 * ms, (*world).slowAnswer},
		{"partial_failure", "entries fail, are left out of the answer, or have a wrong checksum", broker, lossy, 500 * ms, 2 * s, (*world).partialFailure},
		{"access_denied", "SNS and SQS refuse the credentials", broker, harmless, 300 * ms, 2 * s, (*world).accessDenied},
		{"queue_deleted", "the SQS queue is deleted and made again", broker, harmless, 300 * ms, 2 * s, (*world).deleteQueue},
	}
}

func kindNames() []string {
	all := kinds()
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return names
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
