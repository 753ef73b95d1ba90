// Package awsfake starts a server in the process of a test that stands in for
// Amazon SNS and SQS, for tests and local runs of code that uses their FIFO
// topics and queues. The AWS SDKs and the AWS CLI talk to it over real HTTP. It
// also answers the few calls to STS and Secrets Manager that such code makes.
//
// It is strict where FIFO matters: message groups block and unblock as they do
// on AWS, deduplication lasts five minutes whatever became of the message,
// sequence numbers grow, batches fail entry by entry. Its clock can be moved
// ([ShiftClock]), faults can be planned ([Server.AddFault]), and everything it
// accepted can be read back ([Server.History]).
//
// What it does not have: access control and request signatures (any
// credentials do), quotas, encryption, and delivery to anything but SQS.
package awsfake
