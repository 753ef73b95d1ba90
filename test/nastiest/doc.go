// Package nastiest holds tests only: the failures that lose or reorder events
// in other outboxes, against a real PostgreSQL, the AWS SDK and the fake of SNS
// and SQS, with relays in the process of the test. The history checker judges
// each of them.
//
// With OUTBOX_TEST_LONG=1 the backlogs are as large as they get; without it those
// tests are listed as skipped.
package nastiest
