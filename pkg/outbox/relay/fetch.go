package relay

import "github.com/serverless-outbox/serverless-outbox/pkg/outbox"

// Fetch is several reads, which the store does in the order of the fields, in one round trip, or in two where there are
// large events. The snapshot of a read is no older than that of the read before it. The gaps come last, so that a row
// that commits while the store reads is found in a gap if an earlier read passed over it.
type Fetch struct {
	// Bytes is the most bytes of content, which is payload and headers, that all Records of the answer have together,
	// but for a first one that has more. Reads end early for it, as [Fetched.Bound] says. Zero is no bound.
	Bytes int
	// Shards are the shards to read. A scan gives rows of other shards without a Record, and a read of gaps gives
	// their ids; the other reads leave them out.
	Shards []int
	// Scans read forward from an id. The first goes on from the highest id that was read. The others are
	// catch-ups, each of shards that were gained when that id had been read.
	Scans []Scan
	// Destinations read rows that were deferred for want of room at their destination.
	Destinations []DestinationBackfill
	// Searches look for the first unsent row of blocked lanes that were released.
	Searches []LaneSearch
	// Lanes read rows that single lanes deferred.
	Lanes []LaneBackfill
	// Sweep, when not nil, reads all unsent rows of a range of ids.
	Sweep *Sweep
	// Writers asks for Fetched.Writers, the transactions that may still fill a gap.
	Writers bool
	// Gaps are ranges of ids, sorted, to look at again for rows that committed after a higher id was read.
	Gaps []Range
	// GapLimit is the most rows to read in Gaps, at least 1 where there are any.
	GapLimit int
}

// Scan reads rows with an id above After, at most Limit, of any state. Rows with ids that the store has not given, which
// were written with an explicit id, are left out: a Sweep reads them. Example: {After: 100, Limit: 2} where the
// table has 99, 101, 105 and 106 reads 101 and 105. Only some rows come with a Record: see [Row].
type Scan struct {
	After int64
	// Shards are the shards whose rows come with a Record. Nil is those of Fetch.Shards.
	Shards []int
	Limit  int
}

// Page says which part of the rows that a lane or a destination deferred is to be read.
type Page struct {
	// From is the lowest id to read. Before, where it is not 0, is the id to stop at: a bound of the uncommitted rows
	// that are passed over.
	From, Before int64
	// Limit is the most records to return. Examine is the most unsent rows, of all lanes of the destination, to look at
	// for them: those of one lane may be thinly spread over a backlog.
	Limit, Examine int
}

// DestinationBackfill reads the unsent rows of a destination, of Fetch.Shards: none of a lane that has a row in outbox.blocked, released or not.
type DestinationBackfill struct {
	Destination string
	Page
}

// LaneBackfill reads the unsent rows of a lane, of Fetch.Shards; none while the lane has a row in outbox.blocked,
// released or not.
type LaneBackfill struct {
	Lane outbox.Lane
	Page
}

// LaneSearch looks for the lowest unsent row of a lane, blocked or not.
type LaneSearch struct {
	Lane outbox.Lane
	// From is the lowest id to look at. Examine is the most unsent rows, of all lanes of the destination, to look at.
	From    int64
	Examine int
}

// Sweep reads the unsent rows of Fetch.Shards and of all lanes of Destinations that are not blocked, with
// From <= id < Before. The range bounds the cost. A bound like Page.Examine would not: it does not count the index entries
// of sent rows, which stay for as long as a transaction holds back vacuum. Where Before is 0 it reads the rows from From on
// with ids that the store has not given.
type Sweep struct {
	Destinations []string
	From, Before int64
	// Limit is the most records to return.
	Limit int
	// Unknown asks for Fetched.Unknown, the destinations of unsent rows that are not among Destinations.
	Unknown bool
}

// UnknownDestination is a destination that has unsent rows, of any shard, and is not among those of a Sweep.
type UnknownDestination struct {
	Name string
	// FirstID is the lowest id of its unsent rows, Events their number, at most a thousand.
	FirstID int64
	Events  int
}

// Fetched answers a Fetch: Scans[i] answers Fetch.Scans[i], and so on for Destinations, Searches and Lanes. The
// caller may keep and change all of the answer.
type Fetched struct {
	// Era is the era of the row ids when the store began to read, and LastID the highest id that was given by then.
	Era    int64
	LastID int64
	Scans  [][]Row
	// More[i] says that Fetch.Bytes ended Scans[i] early. It is nil where no scan was ended so.
	More         []bool
	Destinations []Backfilled
	Searches     []LaneStart
	Lanes        []Backfilled
	// Sweep answers Fetch.Sweep, and is zero without it. Its Next is always above 0: the page ends at Before,
	// if not earlier, or at the end of all ids where Before is 0.
	Sweep Backfilled
	// Unknown answers Sweep.Unknown: at most a hundred destinations, in any order.
	Unknown []UnknownDestination
	// Writers are the open transactions that have written to the outbox, or may be about to; nil when not asked
	// for. A transaction has the same name in every answer while it is open, and no other transaction has that
	// name.
	Writers []string
	// Gaps are the rows found in Fetch.Gaps.
	Gaps GapRows
}

// Row is a row of a scan. Record is nil unless the row is unsent, of a shard asked for, and not of a blocked lane.
type Row struct {
	ID     int64
	Record *outbox.Record
}

// Backfilled is the answer to a page of a backfill or a sweep: unsent rows, in order of id.
type Backfilled struct {
	Records []outbox.Record
	// Next is the lowest id of the next page, which is Page.Before when that ended the page; 0 when there are no more
	// rows.
	Next int64
}

// LaneStart answers a LaneSearch.
type LaneStart struct {
	// First is the id of the lane's lowest unsent row, 0 when none was found.
	First int64
	// Next is the id to search on from, 0 when First was found or the lane has no unsent row.
	Next int64
}

// GapRows are the rows found in the gaps of a fetch. Example: the gaps are 5 to 7 and 9. Row 5 is unsent, row 6 was
// sent, row 7 is unsent and of a shard not asked for, row 9 is unsent and its lane is blocked. Then IDs is 5, 6, 7, 9,
// Records has 5, and Blocked has 9. A lane counts as blocked while it has a row in outbox.blocked, released or not.
type GapRows struct {
	// IDs are the ids of all rows found, of whatever shard and state, ascending.
	IDs []int64
	// Records are the unsent rows of the shards asked for whose lane is not blocked, in order of id.
	Records []outbox.Record
	// Blocked are the unsent rows of the shards asked for whose lane is blocked, ascending by id.
	Blocked []BlockedRow
	// Through is the id of the last row read when there are more than GapLimit or Fetch.Bytes allow, and 0 when all
	// were read.
	Through int64
}

// BlockedRow is an unsent row of a blocked lane.
type BlockedRow struct {
	ID    int64
	Shard int
	Lane  outbox.Lane
}
