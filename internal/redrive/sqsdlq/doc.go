// Package sqsdlq connects package redrive to dead-letter queues of SQS: it finds
// the queue that a dead-letter queue belongs to, receives and deletes there, and
// sends to the other.
package sqsdlq
