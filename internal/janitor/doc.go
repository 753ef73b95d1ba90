// Package janitor keeps the tables of the outbox small: it makes partitions ahead of the writers, archives events that
// were sent, removes from the archive what is older than its retention, and reports what is wrong.
//
// # No undelivered event is moved
//
// Every step is one transaction, and the function of the database that does it checks that it may be done. A
// partition of outbox.events is archived in these steps:
//
//   - Seal: a constraint makes the partition refuse unsent rows. The database adds it when no transaction that wrote
//     to the partition is open, and then reads the partition to validate it, while readers and writers go on.
//   - Archive: the partition leaves outbox.events and becomes one of outbox.archive, under a lock for which writers and
//     relays wait some milliseconds. No row is read: the constraint proves that all were sent, and the archive refuses
//     a partition without it.
//   - Unseal, where archiving did not succeed: the constraint is dropped, and the partition is as it was.
//
// Rows are moved one by one only when they were sent. An unsent row stays where it is, also in outbox.events_default,
// because a settlement that looks for a row while it is moved would miss it.
//
// # Side by side, and killed
//
// Every step on partitions locks the same row of outbox.locks until its transaction ends, and does nothing
// when another janitor has it. What a janitor did before it was killed stays done. At most one partition stays sealed,
// which the next run archives or unseals.
package janitor
