// Package outboxtest tests what writes to the outbox, and what reads from the broker: it gives a test a
// PostgreSQL database with the outbox in it ([DB]), says which events the code under test enqueued ([Enqueued],
// [RequireEnqueued]), and carries them to sinks with a relay in the process of the test ([Drain]).
//
// The server is the one that OUTBOX_TEST_DATABASE_URL or else DATABASE_URL names, else an installed PostgreSQL
// that the first test starts, else one that is fetched once. Each test has a database of its own, so that tests
// run in parallel.
//
// Package awsfake, below this one, is SNS and SQS for tests of consumers; package sinktest is the contract of
// [outbox.Sink] as a suite of tests.
package outboxtest
