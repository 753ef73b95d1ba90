package relay

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// ErrLeaseLost means that the lease was ended, mostly by another relay after it lapsed: no event may be sent or
// settled under the old relay id any more.
var ErrLeaseLost = errors.New("lease lost")

// Leases gives shards to relays. A shard is owned by at most one relay. All times are the database's. A relay id is
// never used twice, so the id is the fencing token: once another relay has taken a lapsed lease over, no call under
// the old id has an effect.
type Leases interface {
	// Join enters the relay, which has no shards before its first Renew, and returns true. When as many other
	// relays as j.Relays have a lease, are not leaving and mean to run for longer than j.JoinWindow, it returns
	// false and changes nothing. Calls take turns, so that no more relays join than needed. After an error the
	// relay may have joined, and Join may be called again with the same id.
	Join(ctx context.Context, j Join) (bool, error)
	// Renew extends the lease to r.TTL from now, stores the position if it is of the current era, frees the shards of r.GiveBack and those of
	// other relays' lapsed leases, which end, and takes free shards up to Lease.Target, all in one transaction. A
	// lapsed lease that has not been ended is extended as well. The error wraps ErrLeaseLost when the lease was
	// ended: by another relay or the janitor after it lapsed, or by Leave; after any other error the renewal may
	// have happened.
	Renew(ctx context.Context, r Renewal) (Lease, error)
	// Leave frees every shard, with p as the position of its next owner, and ends the lease. When era is not the
	// current one, the position stored last stays. Leaving twice, or after the lease was lost, is no error.
	Leave(ctx context.Context, relayID uuid.UUID, era int64, p Position) error
}

// Reader reads events. Every call is one round trip.
type Reader interface {
	// Fetch answers the reads of f, as the type Fetch says. After an error the answer is to be ignored.
	Fetch(ctx context.Context, f Fetch) (Fetched, error)
	// Backlog counts the unsent events, of all shards and also of blocked lanes: of each destination in lows those
	// above the id there, and all of the destinations that are not in lows. It stops at limit events, so that its cost
	// is bounded.
	Backlog(ctx context.Context, lows map[string]int64, limit int) (Backlog, error)
}

// Settler records what became of events.
type Settler interface {
	// Settle marks s.Accepted as sent and makes s.DeadLetters dead letters, in one transaction, if relayID still
	// has its lease. An event is the row with its id and its event id: a row of another event stays as it is. Settle
	// returns how many events of each changed: fewer than s names when some were settled before, a dead letter was
	// redriven since, or a row is gone or another event's; and none, with Settled.Fenced set, when the lease is lost.
	// After an error it may be called again with the same s.
	Settle(ctx context.Context, relayID uuid.UUID, s Settlement) (Settled, error)
}

// Join is a new relay's request to take part in the work.
type Join struct {
	// RelayID is the id of this run of the relay, never used before.
	RelayID uuid.UUID
	// Name is the name of the run in status output, such as the Lambda request id.
	Name string
	// TTL is how long the lease lasts without a renewal.
	TTL time.Duration
	// RunFor is how long the relay means to run.
	RunFor time.Duration
	// JoinWindow is how long another relay, which is not leaving, must still mean to run to be counted as one of
	// Relays.
	JoinWindow time.Duration
	// Relays is how many relays are to share the shards.
	Relays int
}

// Renewal asks to keep a lease.
type Renewal struct {
	RelayID uuid.UUID
	// Era is the era that the relay knows, 0 before the first renewal. When it is not the current one, Position and
	// Unblock are ignored, and every shard that the relay still owns has a new ShardLease.Epoch in the answer and is
	// to be read from the stored position on.
	Era int64
	// Recurred says that the relay has found that ids came again in this era, which begins a new one. So does a
	// position above the highest id that was given.
	Recurred bool
	// TTL is how long the lease lasts from now on.
	TTL time.Duration
	// Relays is how many relays are to share the shards.
	Relays int
	// GiveBack names shards that the relay stops owning: no event of these shards is in flight or unsettled.
	// Example: 64 shards are owned and a second relay came, so 32 of them are given back.
	GiveBack []int
	// Leaving says that the relay is about to end: it takes no more shards, and is not counted as one of Relays.
	Leaving bool
	// Position is where another relay would have to resume any shard owned. The zero value is for a relay that
	// has not read yet, and leaves the stored position as it is, unless Unblock names lanes.
	Position Position
	// Unblock names lanes of Lease.Released whose first unsent row Position allows for, so that their rows in
	// outbox.blocked can be deleted. A lane that was released anew since the answer that named it stays blocked,
	// and the next answer names it again. Example: an answer named lane L as released at 12:00:01, the relay has
	// found that L begins with event 70, and its position is 69; it now asks to unblock L as of 12:00:01.
	Unblock []ReleasedLane
}

// Lease is what a relay owns after a renewal.
type Lease struct {
	// Shards are all the shards that the relay owns now.
	Shards []ShardLease
	// Target is how many shards are this relay's fair share: if it owns more, it drains and gives back the
	// difference. It is 0 for a relay that leaves, or that is to end because Renewal.Relays younger ones run.
	Target int
	// Era is the current era of the row ids. An id names one event within an era. The era grows when ids come again,
	// as after a failover that lost commits, a restore, or a restart of the sequence, and no era comes twice. Begun
	// says that this renewal found that ids came again without another sign of it.
	Era   int64
	Begun bool
	// LastID is the highest id that was given, 0 before the first.
	LastID int64
	// Released are blocked lanes of the shards owned that an operator has released and that Renewal.Unblock did
	// not unblock yet. An answer may name a part of them, but names all of Renewal.Unblock that are still blocked.
	// Example: lane L is blocked by event 70 and an operator releases it; each answer from then on, until L is
	// unblocked, names L with FirstID 70.
	Released []ReleasedLane
	// Now is the time of the database's clock at the renewal.
	Now time.Time
}

// ShardLease is one shard owned, and where to resume it.
type ShardLease struct {
	Shard int
	// Epoch grows by one each time the shard gets an owner, also when that is the same relay again.
	Epoch int64
	// Resume is the position of the shard's last owner, zero when the shard never had one. It is also zero when an
	// earlier answer named the shard under this epoch: then it is not needed.
	Resume Position
}

// ReleasedLane is a blocked lane that an operator has released. A redrive also makes the lane of an event that it
// puts back a released one, unless another event blocks the lane, so that the relay searches the lane for the
// event.
type ReleasedLane struct {
	Lane  outbox.Lane
	Shard int
	// FirstID is the lowest id among the event that blocked the lane and the events put back into it.
	FirstID int64
	// ReleasedAt is when the operator released the lane. It tells one release from the next: with each release,
	// events may have been put back in front of the lane.
	ReleasedAt time.Time
}

// Position is where reading of some shards resumes: each of their rows with an id up to Low was read, but for those in
// Gaps, which were not visible yet. What became of the rows that were read is kept for each destination apart, so that
// one that stands still does not keep the others at its place. Example: 1 to 9 were read but for 5, which was never
// seen, and 8, of the destination a, is in flight; then Low is 9, Gaps is {5, 5} and Lows is a: 7, b: 9. The zero
// value reads from the start.
type Position struct {
	Low  int64
	Gaps []Range
	// Lows has, for each destination that the relay is configured for, the id up to which its rows are settled or of
	// a blocked lane, but for those in Gaps; at most Low. A destination without an entry was not known to the relay:
	// none of its rows counts as read.
	Lows map[string]int64
}

// Range is a range of ids, both ends included.
type Range struct {
	From, To int64
}

// Settlement is what became of some events.
type Settlement struct {
	Accepted    []Accepted
	DeadLetters []DeadLetter
}

// Accepted is an event that its destination accepted.
type Accepted struct {
	// ID is the event's row id, EventID its event id. MessageID and SequenceNumber are what the broker answered.
	ID             int64
	EventID        uuid.UUID
	MessageID      string
	SequenceNumber string
}

// DeadLetter is an event that the relay gave up.
type DeadLetter struct {
	// ID is the event's row id, EventID its event id.
	ID      int64
	EventID uuid.UUID
	// Replays is the Replays of the record that was given up. A settlement that arrives after the event was
	// redriven has the number from before, and does not bury the event again.
	Replays int
	// Attempts is how often the event was sent and failed by itself (the class Transient, while its destination
	// accepted others). It is 1 for an event that never failed so.
	Attempts int
	// Code is the broker's error code or a word of the relay such as MessageTooLong. Reason is the text of the
	// error, empty when there was none.
	Code   string
	Reason string
	// Block says that the event's lane becomes blocked in the same transaction.
	Block bool
}

// Settled is the outcome of a settlement.
type Settled struct {
	// Accepted counts the events that were marked as sent, DeadLetters those that became dead letters.
	Accepted    int
	DeadLetters int
	// Mismatched counts those whose row id is that of another event now. Example: a failover lost row 7, and a new
	// event was given the id 7; the settlement of the lost event leaves it unsent.
	Mismatched int
	// Fenced says that the lease was lost and that no row was written. The counts are 0 then.
	Fenced bool
}

// Backlog is the number and the age of unsent events.
type Backlog struct {
	// Pending is the number of these events, at most the limit asked for.
	Pending int
	// Oldest is the age of the oldest event counted in Pending, 0 when there is none.
	Oldest time.Duration
}
