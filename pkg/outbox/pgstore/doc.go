// Package pgstore is the outbox in PostgreSQL 15 or later: its schema, the
// leases of the relays, the reading of events and the settling of them.
//
// # No event is passed over
//
// Events are published in the order of their id, but a lower id can become
// visible after a higher one: ids are drawn when a row is inserted and rows
// become visible when their transaction commits. So a reader keeps every id
// that it did not find below one that it did, a gap, and looks at it again.
// It may give a gap up when no transaction is left that could fill it:
//
//   - INSERT and COPY lock outbox.events in the mode ROW EXCLUSIVE before they
//     draw their first id, and keep that lock to the end of the transaction.
//     This holds for plain, prepared and INSERT ... SELECT statements, and for
//     transactions that have no transaction id yet.
//   - The sequence hands ids out in order and one by one (CACHE 1). So whoever
//     drew the missing id did so before the higher id became visible, and held
//     the lock then.
//   - A commit makes rows visible first and releases locks after. So when the
//     lock is gone the row is there, or it will never be.
//
// Therefore [Store.Fetch] reads, in one round trip and each with a later
// snapshot: the events, the transactions that hold the lock, and the gaps.
// Whoever still held the lock when the gap was first seen is named by the read
// that follows it. When none of those is named any more and the gap, looked at
// after that, is still empty, it is empty for ever. A long transaction that
// never wrote an event does not matter, and no clock does.
//
// Three things would break the argument. [Store.Check] refuses a sequence with
// another cache and an isolation level other than read committed, under which
// the reads would share one snapshot. And nobody may insert ids of their own
// making or write to a partition directly: the identity is GENERATED ALWAYS
// and the role outbox_writer has no right to either. A transaction that is
// prepared for two-phase commit changes its name in the list of locks; the
// store goes on reporting its old name until it ends.
//
// # No relay settles for another
//
// A relay holds shards by a row in outbox.relays, under an id that is never
// used twice. It holds them as long as the row is there: the database's clock
// decides only when another relay may delete it. That deletion is the
// takeover.
//
//   - A settlement locks the relay's row FOR KEY SHARE in the statement that
//     marks the events. If a takeover is deleting the row, the settlement waits
//     for it, finds no row, and changes nothing.
//   - A takeover skips a row that is locked, so a settlement under way ends
//     under the lease it began with. A renewal does not conflict with it.
//   - Joining, renewing and leaving take turns under an advisory lock of the
//     transaction. A lease that lapsed is renewed if its row is still there, and
//     whoever comes later sees the renewed row.
//
// Each new holder of a shard gets a higher epoch and the position at which the
// last one stopped. A position counts only for shards that the relay has had
// an answer about: until then the shard keeps the position it was handed over
// with, so that neither a crash nor a lost answer moves it forward.
//
// # Poolers
//
// The store keeps nothing in a session: no temporary objects, no settings, no
// session locks, no named statements in the default mode. It works behind RDS
// Proxy and PgBouncer in transaction mode. Only [Migrate] needs a direct
// connection.
//
// The isolation level must be read committed, which is the default. Set
// statement_timeout and lock_timeout with ALTER ROLE ... SET on the login.
package pgstore
