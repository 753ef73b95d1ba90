// Package batch is what all that send to SNS and SQS in batches share: it sends
// one batch, matches the answer to the messages, and sorts errors into classes.
package batch
