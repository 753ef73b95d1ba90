// Package sqsdlq implements the contracts of package dlq for queues of SQS: it finds the queue that failed, receives,
// hides, sends and deletes.
package sqsdlq
