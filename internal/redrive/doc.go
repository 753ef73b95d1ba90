// Package redrive declares the request and the answer for bringing events back: messages of a dead-letter queue, dead
// letters and blocked aggregates of the outbox, and events that were sent already.
//
// A [Request] says which events, and an [Answer] what became of them. They are the same for all sources, in the JSON
// of the function dlq-redrive and in the flags and the output of the command line. [Engines] picks the engine that
// answers a request; the engines are the packages below this one:
//
//	dlq     from a dead-letter queue; sqsdlq connects it to SQS
//	rows    from outbox.dead_letters and outbox.blocked
//	replay  copies of sent events
package redrive
