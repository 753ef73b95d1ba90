// Package dlq brings messages of a dead-letter queue back to the queue that failed. It knows contracts only: [Queue],
// [Gauge] and [Target] are implemented by package sqsdlq for SQS, and in memory by tests.
//
// A run receives a few messages, decides about each in the order of its group, sends those that are wanted, one of each
// group at a time, and deletes what was accepted:
//
//	receive -> admit -> send -> delete
//	             |        |
//	             +--------+--> kept hidden, shown again at the end of the run
//
// The words: a message is received when it was taken from the dead-letter queue. A group is the message group of a FIFO
// queue. A line is the messages of one group that one receiver has gathered to send. A message is kept hidden when the
// run leaves it in the queue, and hides it from itself and from others until the run ends, so that it is not received
// again and again.
package dlq
