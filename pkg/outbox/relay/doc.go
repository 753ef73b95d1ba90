// Package relay carries events from the outbox to their destinations, in order within each lane. [Relay.Run] does
// it for a time; [Store] is what it needs of the database, and an [outbox.Sink] for each destination is where
// events go.
//
// # The model
//
// The outbox is a table of rows with growing ids. A lane is the rows of one aggregate at one destination: its
// events are sent in the order of their ids, one at a time. Each lane belongs to one of [outbox.Shards] shards, and
// each shard is owned by at most one relay, by a lease. An event that was read and is not settled is buffered.
//
//	settled, or blocked in the table;     buffered, deferred, in a gap,     not read yet
//	or else in a gap of the position      or settled
//	────────────────────────────────────┬─────────────────────────────────┬──────────────> id
//	             position.Lows, for each destination                     head = position.Low
//
// These are the words for what is where:
//
//   - The head is the highest id read. A scan reads on from there. A fetch is one round trip of reading: scans and
//     all else that is due.
//   - A gap is ids below the head that were not visible when the head passed them. It closes when its row is found,
//     or when every writer at discovery, the transactions that may have drawn its ids, has ended and it is still
//     empty.
//   - Deferred rows were read, or passed over, and left in the table for want of room. They are noted by the lowest
//     id, for a lane or for a destination, and a backfill reads all from there on.
//   - A catch-up reads shards that were gained while running, from the position of their last owner up to the head.
//   - A sweep reads all unsent rows up to the head, a page at a time, for those that appear where none should.
//   - The position is where another relay would have to resume: how far was read, and how far each destination is
//     settled. It is written with each renewal of the lease. A run
//     is what one relay does from Join to Leave.
//   - An era is a time in which no id comes again. A relay that learns of another era starts over: it forgets all that is
//     buffered but what is in flight or unsettled, and reads from the stored position on.
//   - A batch is the first events of some ready lanes, sent with one call.
//
// # The states of a lane
//
//	            an event comes          in a batch
//	resting ───────────────────> ready ─────────────> sending
//	   ^                           │                     │
//	   ├── its shard drains ───────┘                     │
//	   ├── accepted, or nothing of it goes now ──────────┤
//	   ├── due, or its shard drains ─── backingOff <─────┤ failed: the same event goes again
//	   ├── written ──────────────────── burying <────────┤ given up, policy Skip
//	   └── written ──────────────────── blocked <────────┘ given up, policy Block
//
// Nothing of a lane goes now when its call was not made, its destination pauses or its shard drains. A lane that
// comes to rest with events in its queue becomes ready at once. A lane is forgotten when it rests, its queue is
// empty and nothing of it is deferred. Beside this, a lane that an operator released goes its own way until it is
// read again: see release.
//
// # The states of an event
//
//	           in a batch             accepted               written
//	queued ─────────────────> inFlight ─────────> unsettled ─────────> forgotten
//	  ^ │                        │                    ^
//	  │ └─────── given up ───────│────────────────────┘
//	  └──── failed, or not sent ─┘
//
// A queued event is also forgotten when its shard drains.
//
// # The life of an event
//
//  1. Its row commits. A scan finds it, or a read of the gaps if it commits late.
//  2. prepare makes the message, beside the loop.
//  3. admit buffers it in its lane, or defers it when there is no room.
//  4. The lane becomes ready, if it rests.
//  5. pack takes the first events of ready lanes into a batch.
//  6. send looks at the lease and calls the sink.
//  7. published takes in the results. Accepted: the lane goes on with its next event.
//  8. Failed: the lane backs off, or its destination pauses (judge), and the same event goes again, as a suspect: in
//     batches of suspects only, and alone after a call without an answer. Never to be accepted, or failed too often on its own: bury makes it a dead letter.
//  9. maybeSettle writes what became of it, with many others.
//  10. forgetSettled removes it once no fetch is under way that may have read its row as unsent. The position moves
//     on.
//
// # What always holds
//
//  1. At most one event of a lane is in flight, and the next one is sent after the first was accepted or its
//     settlement as a dead letter is written: pack, next, bury.
//  2. No call starts unless the lease outlasts it: lease.allows, looked at by dispatch and again by send.
//  3. A relay sends an event again, under the same deduplication id, before any other of its lane: lane.insert,
//     loop.retry.
//  4. Only what a sink accepted is settled as accepted: resultAt, loop.result.
//  5. A deferred row is admitted from a backfill of its lane or destination, and a row that a catch-up is to bring
//     from that or a backfill of its lane; no other read may bring them: admit.
//  6. Nothing is read ahead of the head: cursor.caughtUp, cursor.upToHead, loop.takeStrays.
//  7. Rows found in gaps are admitted before what the scans of the same fetch found: takeIn. Where that cannot be,
//     reading goes back: cursor.goBack.
//  8. A gap is given up only when it was read after its writers at discovery had ended: gaps.looked.
//  9. The position allows for every row up to the head that is not settled, but for rows of destinations that are
//     not configured: cursor.position. Blocked and searched lanes are noted in the table.
//  10. A shard is given back when no event of it is in flight or unsettled: loop.drained. Until then its position
//     is the one at which it began to drain: cursor.pin.
//  11. A released lane is unblocked in the table when its first row is known and the position allows for it:
//     cursor.searched, cursor.toUnblock.
//  12. All state belongs to one goroutine, loop.run. Calls run beside it and post what they learned: loop.call.
package relay
