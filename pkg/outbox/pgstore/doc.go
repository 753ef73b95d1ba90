// Package pgstore is the outbox in PostgreSQL 15 or later, as a service and a relay
// use it: the connection, the schema and its migration, and [Store], which a relay
// reads events from, renews its lease with and settles events in.
//
// # No event is passed over
//
// Events are published in the order of their ids, but a lower id can become visible after a higher one: an id is
// drawn when a row is inserted, and the row becomes visible when its transaction commits. So a reader remembers every
// id that it did not find below one that it found, a gap, and looks at it again. It may give a gap up when no
// transaction is left that could fill it:
//
//   - INSERT and COPY lock outbox.events in the mode ROW EXCLUSIVE before they draw their first id, and keep that
//     lock to the end of the transaction. This is so for plain, prepared and INSERT ... SELECT statements, and for
//     transactions that have no transaction id yet.
//   - The sequence gives ids out in order and one by one (CACHE 1). So the transaction that drew the missing id drew
//     it before the higher id became visible, and had the lock then.
//   - A commit makes rows visible first and releases locks after. So when the lock
//     is released the row is visible, or it will never be.
//
// Therefore [Store.Fetch] reads, in one round trip and each with a later snapshot: the events, the transactions that
// have the lock, and the gaps. A transaction that had the lock when the gap was first seen is named by the read of
// transactions that follows. When none of those is named any more and the gap, looked at after that, is still empty,
// it is empty for ever. A long transaction that wrote no event does not matter, and no clock does.
//
// Three things would break the argument. [Store.Check] refuses two of them: a sequence with another cache, and an
// isolation level other than read committed, under which the reads would share one snapshot. The third is an id that
// the sequence did not give out, or a write to a partition directly: the identity is GENERATED ALWAYS, and the role
// outbox_writer has the right to neither. Rows above the sequence are left to the sweep, as they would hide all later
// ones. A transaction that is prepared for two-phase commit changes its name in the
// list of locks; the store goes on reporting its old name until it ends.
//
// # Ids that come again
//
// A failover to a standby that lacks the last commits gives ids a second time; so do a restore to a point in time,
// truncate with restart identity, and setval. Therefore an event is the row with its id and its event id wherever one is
// settled, buried, moved or redriven, and each id is one of an era, which outbox.current_era() tells. The era grows with the
// timeline of the server, and where a relay finds a position above the sequence or another event's row in the place of
// one that it sent. Every renewal and every leave names the era that the relay knows, and a position of another era is not stored.
// Every fetch reads the era first, so that nothing is read in one and sent in another.
//
// # No relay settles for another
//
// A relay owns shards by a row in outbox.relays, under an id that is never used
// twice. It owns them as long as the row is there: the database's clock decides only
// from when on another relay may delete the row. That deletion is the takeover.
//
//   - A settlement locks the relay's row FOR KEY SHARE in the statement that marks the events. If a takeover is
//     deleting the row, the settlement waits for it, finds no row, and changes nothing.
//   - A takeover skips a row that is locked, so a settlement under way ends under
//     the lease that it began with. A renewal does not conflict with it.
//   - Joining, renewing and leaving take turns under a lock of the transaction on a row of outbox.locks. A lease that
//     lapsed is renewed if its row is still there, and later calls see the renewed row.
//
// Each new owner of a shard gets a higher epoch and the position at which the last one stopped. A position counts
// only for shards that an answer has named to the relay: until then the shard keeps the position with which it was
// handed over, so that neither a crash nor a lost answer moves it forward.
//
// # Poolers
//
// The store keeps nothing in a session: no temporary objects, no settings, no
// session locks, no named statements in the default mode. It works behind RDS Proxy
// and PgBouncer in transaction mode. Only [Migrate] needs a direct connection.
//
// The isolation level must be read committed, which is the default. Set
// statement_timeout and lock_timeout with ALTER ROLE ... SET on the login.
package pgstore
