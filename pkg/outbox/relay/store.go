package relay

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Leases gives shards to relays. All times are the database's. A lease is held
// by a relay id that is never used twice, so the id is the fencing token: once
// another relay has taken a lapsed lease over, nothing under the old id counts.
type Leases interface {
	// Join enters the relay unless enough others will still be running for
	// JoinWindow; then it answers false and changes nothing. It is safe to call
	// from many newcomers at once: they are admitted one after the other.
	Join(ctx context.Context, j Join) (bool, error)
	// Renew extends the lease by its TTL, stores the position, gives back
	// r.Release, takes over what lapsed and takes free shards up to a fair
	// share, all in one transaction. A lease that lapsed but that nobody took
	// over is renewed. It returns ErrLeaseLost when somebody did.
	Renew(ctx context.Context, r Renewal) (Lease, error)
	// Leave gives back every shard and ends the lease. Leaving twice, or after
	// the lease was lost, is no error.
	Leave(ctx context.Context, relayID uuid.UUID, p Position) error
}

// Reader reads events. Every call is one round trip.
type Reader interface {
	// Fetch answers the reads of f in their order, each with a snapshot no
	// older than the one before it.
	Fetch(ctx context.Context, f Fetch) (Fetched, error)
	// Backlog counts what waits behind the position, up to limit rows, so that
	// its cost is bounded.
	Backlog(ctx context.Context, low int64, limit int) (Backlog, error)
}

// Settler records what became of events.
type Settler interface {
	// Settle marks accepted events as sent and moves dead ones to the dead
	// letters, in one transaction, if relayID still holds its lease. It
	// returns how many rows changed: fewer than it was given means that some
	// were settled before or that the lease is lost (then none, and Fenced).
	Settle(ctx context.Context, relayID uuid.UUID, s Settlement) (Settled, error)
}

// Join asks to enter a relay.
type Join struct {
	RelayID uuid.UUID
	// Name says in status output who this is, such as the Lambda request id.
	Name string
	// TTL is how long the lease lasts without a renewal.
	TTL time.Duration
	// RunFor is how long the relay means to run.
	RunFor time.Duration
	// JoinWindow: relays that will run for less than this do not count.
	JoinWindow time.Duration
	// Relays is how many relays share the work.
	Relays int
}

// Renewal asks to keep a lease.
type Renewal struct {
	RelayID uuid.UUID
	TTL     time.Duration
	Relays  int
	// Release names shards that are drained: nothing of them is in flight or
	// unsettled.
	Release []int
	// Leaving takes no more shards.
	Leaving bool
	// Position is where another relay would have to resume any shard held.
	Position Position
	// Resumed are lanes that were released from their hold, as they were told,
	// and whose first event is at or above Position.Low, so that their hold can
	// be deleted. One that was released anew since then stays, and is told again.
	Resumed []ReleasedLane
}

// Lease is what a relay holds after a renewal.
type Lease struct {
	// Shards are all the shards held now.
	Shards []ShardLease
	// Target is the fair share: a relay that holds more drains and releases
	// the difference. It is 0 for a relay that is to hand over everything
	// because enough younger ones run.
	Target int
	// Released are lanes whose hold an operator ended, and where to resume them.
	// There may be more than one answer tells, but those of Renewal.Resumed whose
	// hold could not be deleted are always among them.
	Released []ReleasedLane
	// Now is the database's clock.
	Now time.Time
}

// ShardLease is one shard held, and where to resume it.
type ShardLease struct {
	Shard int
	// Epoch grows by one with each new holder.
	Epoch int64
	// Resume is where the shard's last holder left it.
	Resume Position
}

// ReleasedLane is a lane taken off hold.
type ReleasedLane struct {
	Lane    outbox.Lane
	Shard   int
	FirstID int64
	// ReleasedAt tells one release from the next: events may have been put back
	// in front of the lane with each.
	ReleasedAt time.Time
}

// Position says where reading resumes: every row with an id up to Low is
// settled, held or dead, but for those in Gaps, which were not visible yet.
type Position struct {
	Low  int64
	Gaps []Range
}

// Range is a range of ids, both ends included.
type Range struct {
	From, To int64
}

// Fetch is one round trip of reading.
type Fetch struct {
	// Scans read forward from a position.
	Scans []Scan
	// Backfills read again what was left in the table.
	Backfills []Backfill
	// Gaps are ranges of ids to look at again, for rows that committed late.
	// They are read after everything else, so that what is found in them was
	// visible at least as early as what the scans found.
	Gaps []Range
	// GapLimit is the most rows to read in the gaps, at least 1 where there are any.
	GapLimit int
	// Shards are the shards held: rows of other shards come without a Record.
	Shards []int
	// Writers asks for the transactions that could still fill a gap. They are
	// read before the gaps.
	Writers bool
}

// Scan reads all rows with After < id.
type Scan struct {
	After int64
	// Shards overrides Fetch.Shards when not nil.
	Shards []int
	Limit  int
}

// Backfill reads the unsent rows of a lane, of a destination when the aggregate
// is empty, or of all destinations when that is empty too, with From <= id.
type Backfill struct {
	Lane outbox.Lane
	From int64
	// Held has it see rows on hold as well.
	Held bool
	// Limit is the most records to return, Examine the most unsent rows to look
	// at on the way: what is looked for may be thinly spread over a backlog.
	Limit, Examine int
	// Before, unless it is 0, ends the reading below that id, whatever is there:
	// Next is then never 0. Such a backfill is of all lanes and sees none on hold.
	// It bounds what Examine does not, the remains of rows that were sent, which
	// stay for as long as a transaction holds back vacuum.
	Before int64
}

// Backfilled answers a Backfill.
type Backfilled struct {
	Records []outbox.Record
	// Next is where to go on, 0 when there is nothing more.
	Next int64
}

// Fetched answers a Fetch, index by index. All of it is the relay's, which may
// change it.
type Fetched struct {
	Scans     [][]Row
	Backfills []Backfilled
	// Gaps are the unsent rows found in the gaps, in order of id. Seen are the
	// ids of all rows found in them, of whatever shard and state. GapsThrough is
	// not 0 when there were more than GapLimit: then it is the last id read.
	Gaps []outbox.Record
	Seen []int64
	// Held are those of the unsent rows found in the gaps that are on hold, of
	// the shards held. They are in Seen and not in Gaps.
	Held        []HeldRow
	GapsThrough int64
	// Writers are the open transactions that have written to the outbox, or
	// may be about to. Each keeps its name for as long as it is open.
	Writers []string
}

// HeldRow is an unsent row that is on hold.
type HeldRow struct {
	ID    int64
	Shard int
	Lane  outbox.Lane
}

// Row is a row of a scan: its id, and the record when it is unsent, of a shard
// asked for, and not on hold.
type Row struct {
	ID     int64
	Record *outbox.Record
}

// Settlement is what became of some events.
type Settlement struct {
	Accepted []Accepted
	Dead     []Dead
}

// Accepted is an event that its destination has.
type Accepted struct {
	ID             int64
	MessageID      string
	SequenceNumber string
}

// Dead is an event that cannot be published as it is.
type Dead struct {
	ID int64
	// Replays is that of the record. An event that was redriven since is not
	// given up again: the settlement is an old one that arrived late.
	Replays  int
	Attempts int
	// Code and Reason say why.
	Code   string
	Reason string
	// Block puts the event's lane on hold.
	Block bool
}

// Settled is the outcome of a settlement.
type Settled struct {
	Accepted int
	Dead     int
	// Fenced means that the lease was lost and nothing was written.
	Fenced bool
}

// Backlog is what waits.
type Backlog struct {
	// Pending is the number of unsent events, at most the limit asked for.
	Pending int
	// Oldest is the age of the oldest of them.
	Oldest time.Duration
}
