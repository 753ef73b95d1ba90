// Package janitor keeps the tables of the outbox small: it makes partitions
// ahead, archives what was sent, applies the retention of the archive, and reports
// what is wrong.
//
// # No undelivered event is moved
//
// Every step is one transaction of the database, which checks for itself that
// it may be done. A partition of outbox.events is archived in three steps:
//
//   - Seal: a constraint makes the partition refuse unsent rows. The database
//     waits for every transaction that wrote to the partition before it adds the
//     constraint, and then reads the partition to validate it, while readers and
//     writers go on.
//   - Archive: under a lock that keeps writers and relays out for some
//     milliseconds the partition leaves outbox.events and becomes one of
//     outbox.archive. Nothing is read: the constraint proves that all was sent,
//     and the archive refuses a partition for which nothing proves it.
//   - Unseal, where archiving did not succeed: the partition is as it was.
//
// Rows are moved one by one only when they were sent. An unsent row stays where
// it is, because a settlement that looks for a row while it is moved would miss
// it. So a row in outbox.events_default waits there until it was sent.
//
// # Side by side, and killed
//
// Every step takes one lock of the transaction, and does nothing when another
// janitor has it. A janitor that is killed leaves the steps that it did, and at
// most a sealed partition, which the next run archives or unseals.
package janitor
