// Package sqsdlq is dead-letter queues of SQS for package redrive: finding the
// queue that failed, receiving, sending and deleting.
package sqsdlq
