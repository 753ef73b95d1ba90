//go:build unix

package chaos

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// area is the part of a run that a fault harms: the relay's processes, the database with the way to it, or the
// broker with the way to it. Faults of one area do not overlap. areas is their number.
type area int

const (
	process area = iota
	database
	broker
	areas
)

// world is what the faults of one run act on and share.
type world struct {
	*rig.World
	server *pgserver.Server
	areas  [areas]sync.Mutex
	// kills has the time of each kill -9. Only faults of the area process append to it, and these happen one at
	// a time.
	kills []time.Time
}

// kind is a kind of fault: its name on the command line, what it does, the area that it harms, the resends that
// it explains (effect), the bounds of its length, and the function that causes it.
type kind struct {
	name, what  string
	area        area
	effect      rig.Effect
	least, most time.Duration
	inject      inject
}

// inject causes the fault i for as long as i.lasts says, ends it, records when it was in effect, and returns
// how often it had an effect. An error says that the fault could not be caused or ended.
type inject func(w *world, ctx context.Context, i *injection) (int, error)

// kinds returns all kinds of faults.
func kinds() []kind {
	const s, ms = time.Second, time.Millisecond
	return []kind{
		{"kill", "kill -9 of the relay at work", process, rig.Unsettled, 0, 0, (*world).kill},
		{"freeze", "SIGSTOP past the lease, then SIGCONT", process, rig.Frozen, rig.LeaseTTL + 300*ms, rig.LeaseTTL + 1500*ms, stop(true)},
		{"deadline", "frozen until the function's deadline, then SIGKILL by the runtime", process, rig.Unsettled, rig.RelayTimeout + s, rig.RelayTimeout + s, stop(false)},
		{"ticks", "three ticks at once and a late one", process, rig.Harmless, 200 * ms, 900 * ms, (*world).ticks},
		{"pg_crash", "PostgreSQL ends all its processes and recovers", database, rig.Unmarked, 0, 0, (*world).crashDatabase},
		{"pg_terminate_claim", "pg_terminate_backend during a renewal", database, rig.Unmarked, 700 * ms, 700 * ms, terminate(lockClaimSQL)},
		{"pg_terminate_settle", "pg_terminate_backend during a settlement", database, rig.Unmarked, 700 * ms, 700 * ms, terminate(lockSettleSQL)},
		{"pg_cut", "no connection to PostgreSQL", database, rig.Unmarked, 200 * ms, 3 * s, onTheWayTo(database, cut)},
		{"pg_reset", "connections to PostgreSQL are reset again and again", database, rig.Unmarked, 300 * ms, 1500 * ms, onTheWayTo(database, reset)},
		{"pg_latency", "50 to 250 ms on each way to PostgreSQL", database, rig.Unmarked, 500 * ms, 2 * s, onTheWayTo(database, slow(250))},
		{"pg_stall", "PostgreSQL does not answer, up to past the lease", database, rig.Unmarked, 300 * ms, 3 * s, onTheWayTo(database, stall)},
		{"sns_sqs_cut", "no connection to SNS and SQS", broker, rig.Harmless, 200 * ms, 2 * s, onTheWayTo(broker, cut)},
		{"sns_sqs_reset", "connections to SNS and SQS are reset again and again", broker, rig.Harmless, 300 * ms, 1500 * ms, onTheWayTo(broker, reset)},
		{"sns_sqs_latency", "50 to 400 ms on each way to SNS and SQS", broker, rig.Harmless, 500 * ms, 2 * s, onTheWayTo(broker, slow(400))},
		{"sns_sqs_stall", "SNS and SQS do not answer; requests arrive late", broker, rig.Harmless, 300 * ms, 2 * s, onTheWayTo(broker, stall)},
		{"throttle", "SNS and SQS throttle", broker, rig.Harmless, 300 * ms, 2 * s, answering(
			awsfake.Fault{Kind: awsfake.FailCall, Operation: "PublishBatch", Code: "Throttled", SenderFault: true, Status: http.StatusTooManyRequests},
			awsfake.Fault{Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "RequestThrottled", SenderFault: true, Status: http.StatusBadRequest},
		)},
		{"server_error", "500 and 503 for half of the calls", broker, rig.Harmless, 300 * ms, 2 * s, answering(
			awsfake.Fault{Kind: awsfake.FailCall, Probability: 0.3},
			awsfake.Fault{Kind: awsfake.FailCall, Probability: 0.3, Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable},
		)},
		{"drop", "half of the calls are dropped before they are carried out", broker, rig.Harmless, 300 * ms, 2 * s, answering(awsfake.Fault{Kind: awsfake.DropConnection, Probability: 0.5})},
		{"lost_response", "calls are carried out and their answer is closed, reset or cut short", broker, rig.Harmless, 300 * ms, 1500 * ms, answering(
			awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossClose, Probability: 0.2},
			awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossReset, Probability: 0.2},
			awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossTruncate, Probability: 0.2},
		)},
		{"hang", "calls are carried out and never answered", broker, rig.Harmless, 300 * ms, 1500 * ms, answering(awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossHang, Probability: 0.3})},
		{"slow_answer", "answers after the send timeout", broker, rig.Harmless, 300 * ms, 1500 * ms, (*world).slowAnswer},
		{"partial_failure", "entries fail, are left out of the answer, or have a wrong checksum", broker, rig.Harmless, 500 * ms, 2 * s, answering(
			awsfake.Fault{Kind: awsfake.FailEntry, Probability: 0.15},
			awsfake.Fault{Kind: awsfake.FailEntry, Probability: 0.1, Code: "Throttled", SenderFault: true},
			awsfake.Fault{Kind: awsfake.OmitEntry, Probability: 0.1},
			awsfake.Fault{Kind: awsfake.OmitEntry, Probability: 0.1, Accepted: true},
			awsfake.Fault{Kind: awsfake.WrongMD5, Operation: "SendMessageBatch", Probability: 0.1},
		)},
		{"access_denied", "SNS and SQS refuse the credentials", broker, rig.Harmless, 300 * ms, 2 * s, answering(
			awsfake.Fault{Kind: awsfake.FailCall, Operation: "PublishBatch", Code: "AuthorizationError", SenderFault: true, Status: http.StatusForbidden},
			awsfake.Fault{Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "AccessDenied", SenderFault: true, Status: http.StatusForbidden},
		)},
		{"queue_deleted", "the SQS queue is deleted and made again", broker, rig.Harmless, 300 * ms, 2 * s, (*world).deleteQueue},
	}
}

func kindNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}
