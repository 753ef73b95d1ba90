// Package batch is what the sinks for SQS and SNS share: sending one batch,
// matching the answers to the messages, and sorting errors into classes.
package batch
