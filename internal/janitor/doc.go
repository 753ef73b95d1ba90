// Package janitor keeps the tables of the outbox small: it makes partitions
// ahead, archives what was sent, applies the retention of the archive, and says
// what should not be as it is.
//
// # No undelivered event is moved
//
// Every step is one transaction of the database, which checks for itself that
// it may be done. A partition of outbox.events is archived in three of them:
//
//   - Seal: a constraint makes the partition refuse unsent rows. The database
//     waits for every transaction that wrote to it before it adds the
//     constraint, and then reads the partition to validate it, while everybody
//     goes on.
//   - Archive: under a lock that keeps writers and relays out for some
//     milliseconds the partition leaves outbox.events and becomes one of
//     outbox.archive. Nothing is read: the constraint proves that all was sent,
//     and the archive refuses a partition for which nothing proves it.
//   - Unseal, where archiving did not succeed: the partition is as it was.
//
// Rows are moved one by one only when they were sent. An unsent row stays where
// it is: a settlement that looks for it while it is moved would miss it. So a
// row in outbox.events_default waits there until it was sent.
//
// # Two at once, and killed
//
// Every step takes one lock of the transaction and goes away when another has
// it. A janitor that is killed leaves the steps that it did, and at most a
// sealed partition, which the next one archives or unseals.
package janitor
