// Package redrive brings back what was put aside: messages of a dead-letter
// queue, dead letters and held aggregates of the outbox, and events that were
// sent already.
//
// [Request] says what, [Answer] what became of it. Both have the same form for
// all sources, as JSON in and out of the function and as flags of the command
// line. The engine for dead-letter queues is [Queues]; it knows contracts only,
// and neither AWS nor PostgreSQL.
package redrive
