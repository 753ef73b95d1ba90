package outbox

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
)

//go:embed enqueue.sql
var enqueueSQL string

// statementBytes and statementEvents bound what one INSERT carries: the driver and the server each keep a few copies
// of it in memory.
const (
	statementBytes  = 8 << 20
	statementEvents = 10_000
)

// Enqueuer writes events with options, its fields. The zero value does what [Enqueue] does. A value can be kept and
// used by many goroutines.
type Enqueuer struct {
	// LockAggregates makes writers of one aggregate wait for each other until the end of their transactions, so that
	// its events are published in the order of commit. Without it the order is that of the row ids, which is the same
	// unless two transactions write events of one aggregate at the same time. It is not needed when the transactions
	// lock the aggregate's own row before they enqueue.
	//
	// The locks (outbox.lock_aggregate) belong to the transaction, and those of one call are taken in a fixed order.
	// Transactions that call more than once for several aggregates can still deadlock; PostgreSQL then fails one of
	// them.
	LockAggregates bool
}

// Enqueue writes events in the transaction tx and returns their event ids, in the order given. After tx commits, the
// events are published in that order within each aggregate and destination. When tx does not commit they never are.
//
// All events are validated first, also that no two of them have one event id and one destination, as the broker would drop
// the second for a duplicate of the first: if some are at fault nothing is written, tx can still be used, and the error holds an
// [*EventError] for each of them. Such an error, and one for a constraint of the table, matches [ErrInvalid]. Otherwise
// the error is [ErrNilTx], [ErrTxClosed], [ErrNoSchema], [ErrSealed], [ErrEncoding], one for rows that a rule or trigger
// dropped, or the driver's, wrapped. After an error of the database tx is aborted, as after any failed statement; roll it
// back after every error but those of validation.
//
// It is one round trip for up to 10,000 events and 8 MiB, and one more for each further such lot. Use [EnqueueCopy] for
// more than fits in memory.
//
// When ctx carries a span, its W3C trace context goes into the headers traceparent and tracestate of events that have
// neither. The events given are not changed.
func Enqueue(ctx context.Context, tx Tx, events ...Event) ([]uuid.UUID, error) {
	return Enqueuer{}.Enqueue(ctx, tx, events...)
}

// Enqueue does what the function [Enqueue] does, with the options of q. Without events it returns nil and makes no
// call.
func (q Enqueuer) Enqueue(ctx context.Context, tx Tx, events ...Event) ([]uuid.UUID, error) {
	if isNil(tx) {
		return nil, fmt.Errorf("enqueue: %w", ErrNilTx)
	}
	if len(events) == 0 {
		return nil, nil
	}
	trace := traceContext(ctx)
	rows := make([]row, len(events))
	ids := make([]uuid.UUID, len(events))
	var faults []error
	var given givenIDs
	for i := range events {
		if err := errors.Join(rows[i].fill(events[i], trace), given.add(&events[i], &rows[i])); err != nil {
			faults = append(faults, &EventError{Index: i, Err: err})
		}
		ids[i] = rows[i].EventID
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("enqueue: %w", errors.Join(faults...))
	}
	var types, names []string
	if q.LockAggregates {
		types, names = aggregates(rows)
	}
	for len(rows) > 0 {
		n := statement(rows)
		if err := insert(ctx, tx, rows[:n], types, names); err != nil {
			return nil, fmt.Errorf("enqueue: %w", err)
		}
		// The first statement took all the locks.
		rows, types, names = rows[n:], nil, nil
	}
	return ids, nil
}

// EnqueueCopy writes events with the COPY protocol, for bulk: memory does not grow with their number. Each is
// validated before it is sent, its event id also against those of the last 65,536 events that came with one; the first
// one at fault ends the copy, with an [*EventError] that matches [ErrInvalid], as an error for a constraint of the table does. Other errors are [ErrNilTx], [ErrTxClosed], [ErrNoSchema],
// [ErrSealed], [ErrEncoding] or the driver's, wrapped. After every error but ErrNilTx and ErrEncoding, tx is aborted or
// closed. EnqueueCopy returns how many events were written, 0 with an error. It fills in missing event ids, destinations
// and trace headers as [Enqueue] does, and does not return the ids.
//
// A large transaction costs other events little: while it is open the relay looks at its rows only when a transaction
// that ran beside it ends, at 1 µs a row, and when it commits, its rows are read for their own destination. That
// destination has them all to send at once: its newer events wait behind them in the table until there is room.
// Transactions of some thousand events let newer events of the same destination go between.
func EnqueueCopy(ctx context.Context, tx pgx.Tx, events iter.Seq[Event]) (int64, error) {
	if isNil(tx) {
		return 0, fmt.Errorf("enqueue copy: %w", ErrNilTx)
	}
	if !readsUTF8(tx) {
		return 0, fmt.Errorf("enqueue copy: %w", ErrEncoding)
	}
	next, stop := iter.Pull(events)
	defer stop()
	trace := traceContext(ctx)
	index := 0
	var given givenIDs
	// The server's answer to a copy that was given up has only the text of the fault.
	var fault *EventError
	n, err := tx.CopyFrom(ctx, pgx.Identifier{"outbox", "events"},
		[]string{"event_id", "aggregate_type", "aggregate_id", "event_type", "destination", "payload", "headers"},
		pgx.CopyFromFunc(func() ([]any, error) {
			e, ok := next()
			if !ok {
				return nil, nil
			}
			var r row
			if err := errors.Join(r.fill(e, trace), given.add(&e, &r)); err != nil {
				fault = &EventError{Index: index, Err: err}
				return nil, fault
			}
			index++
			return r.values(), nil
		}))
	switch {
	case fault != nil:
		return 0, fmt.Errorf("enqueue copy: %w", fault)
	case err != nil:
		return 0, fmt.Errorf("enqueue copy: %w", translate(err))
	}
	return n, nil
}

// row is an event as it is inserted, which fill makes.
type row struct {
	// Event is valid, and has its EventID, its Destination and the headers of the trace set.
	Event
	headers []byte // the JSON of Headers, nil when there are none
}

// fill sets r to e, with defaults for an EventID and a Destination that are missing, and with the headers in trace,
// which may be empty, added when e has neither traceparent nor tracestate. It returns all faults of e, joined, nil
// when e is valid. It does not change the headers of e.
func (r *row) fill(e Event, trace map[string]string) error {
	r.Event = e
	r.Destination = cmp.Or(e.Destination, DefaultDestination)
	if r.EventID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("new event id: %w", err)
		}
		r.EventID = id
	}
	if len(trace) > 0 {
		_, hasParent := e.Headers[HeaderTraceparent]
		_, hasState := e.Headers[HeaderTracestate]
		if !hasParent && !hasState {
			merged := maps.Clone(trace)
			maps.Copy(merged, e.Headers)
			r.Headers = merged
		}
	}
	headers, err := r.validate()
	r.headers = headers
	return err
}

// maxGivenIDs is how many event ids one call remembers.
const maxGivenIDs = 1 << 16

// givenIDs are the event ids that the caller gave to the last maxGivenIDs events of one call, each with its destination. The
// zero value is empty.
type givenIDs struct {
	seen map[givenID]struct{}
	// ring has the keys of seen, the oldest at next once it is full.
	ring []givenID
	next int
}

// givenID is an event id at a destination.
type givenID struct {
	event       uuid.UUID
	destination string
}

// add adds the event id of e, which the row r is made of. It fails when an earlier event of the call has the same id and
// the same destination. An event without an id, which gets a new one, is passed over.
func (g *givenIDs) add(e *Event, r *row) error {
	if e.EventID == uuid.Nil {
		return nil
	}
	id := givenID{e.EventID, r.Destination}
	if _, twice := g.seen[id]; twice {
		return &FieldError{
			Field: "EventID", code: codeInvalid,
			Problem: "an earlier event of this call has the same id and destination: the broker would drop this one as a duplicate; give it an id of its own, or none",
		}
	}
	if g.seen == nil {
		g.seen = make(map[givenID]struct{})
	}
	g.seen[id] = struct{}{}
	if len(g.ring) < maxGivenIDs {
		g.ring = append(g.ring, id)
		return nil
	}
	delete(g.seen, g.ring[g.next])
	g.ring[g.next] = id
	g.next = (g.next + 1) % maxGivenIDs
	return nil
}

// values returns the values of the row's columns, in the order in which EnqueueCopy names the columns.
func (r *row) values() []any {
	var headers any
	if r.headers != nil {
		headers = r.headers
	}
	return []any{r.EventID, r.AggregateType, r.AggregateID, r.Type, r.Destination, []byte(r.Payload), headers}
}

// traceContext returns the W3C trace context of ctx as headers, empty without a span.
func traceContext(ctx context.Context) map[string]string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier
}

// statement returns how many of the rows, from the first on, go into the next INSERT: as many as statementEvents and
// statementBytes allow, and at least one.
func statement(rows []row) int {
	size := 0
	for i := range rows {
		size += len(rows[i].Payload) + len(rows[i].headers) + len(rows[i].AggregateID)
		if i == statementEvents || i > 0 && size > statementBytes {
			return i
		}
	}
	return len(rows)
}

// aggregates returns the different aggregates of the rows, the type of each in types and its id at the same index of
// names. They are sorted, so that two transactions ask for their locks in the same order.
func aggregates(rows []row) (types, names []string) {
	type aggregate struct{ kind, id string }
	all := make([]aggregate, len(rows))
	for i := range rows {
		all[i] = aggregate{rows[i].AggregateType, rows[i].AggregateID}
	}
	slices.SortFunc(all, func(a, b aggregate) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	all = slices.Compact(all)
	for _, a := range all {
		types, names = append(types, a.kind), append(names, a.id)
	}
	return types, names
}

// insert writes the rows with one statement, which first locks the aggregates with the type types[i] and the id
// names[i], none when types is nil. It also returns an error when the database wrote fewer rows than it was given.
func insert(ctx context.Context, tx Tx, rows []row, types, names []string) error {
	columns := make([][]string, 7)
	for c := range columns {
		columns[c] = make([]string, len(rows))
	}
	for i := range rows {
		r := &rows[i]
		columns[0][i] = r.EventID.String()
		columns[1][i] = r.AggregateType
		columns[2][i] = r.AggregateID
		columns[3][i] = r.Type
		columns[4][i] = r.Destination
		columns[5][i] = string(r.Payload)
		columns[6][i] = string(r.headers)
	}
	if types == nil {
		types, names = []string{}, []string{}
	}
	tag, err := tx.Exec(ctx, enqueueSQL, columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], columns[6], types, names)
	if err != nil {
		return translate(err)
	}
	if got := tag.RowsAffected(); got != int64(len(rows)) {
		return fmt.Errorf("%d of %d events were written: a rule or a trigger on outbox.events drops rows", got, len(rows))
	}
	return nil
}
