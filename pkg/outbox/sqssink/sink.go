// Package sqssink makes a sink of an SQS FIFO queue, for a destination of a
// relay.
package sqssink

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// MaxBytes is the largest message, and the largest batch in total, that SQS
// takes: 1 MiB (SQS API reference, SendMessageBatch). A queue may allow less,
// in its attribute MaximumMessageSize.
const MaxBytes = 1 << 20

// Client is the part of [sqs.Client] that the sink needs. A client of another type is used as with
// Config.SDKCodec.
type Client interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Config says which queue to publish to, and how. Only its QueueURL is required.
type Config struct {
	// QueueURL is the URL of a FIFO queue. Required. New does not check that the queue is FIFO: a standard queue
	// refuses each message, and each event becomes a dead letter.
	QueueURL string
	// MaxMessageBytes is the largest message that the queue takes, at most
	// MaxBytes. Lower it to the queue's MaximumMessageSize. Defaults to 1 MiB.
	MaxMessageBytes int
	// SDKCodec lets the SDK write the requests and read the answers, at several times the cost. When it is false
	// and the client is a [*sqs.Client], the sink does both itself, and middleware of the client sees an input
	// with the queue and no entries. With a client that has no middleware, interceptors, traces, meters, logs or
	// retries, only about one call a second goes through the SDK's stack of steps: the others repeat the address
	// and the header of its request. Credentials, endpoint, signature, retries and errors are the SDK's in any
	// case. Defaults to false.
	SDKCodec bool
}

// Sink is an [outbox.Sink] for one queue. It is safe for concurrent use. Make it with New.
type Sink struct {
	client Client
	codec  codec
	sender *batch.Sink
	// direct makes calls without the SDK's stack of steps. It is nil when the client or SDKCodec rules that out.
	direct *wire.Direct
	// input is what the SDK is given when the codec writes the request: the queue and no entries. It is never
	// changed.
	input sqs.SendMessageBatchInput
}

var _ outbox.Sink = (*Sink)(nil)

// New returns a sink that publishes with client, and makes no call. Its error names every fault at once: a nil
// client, an empty QueueURL, a MaxMessageBytes out of bounds. The client should have no retries of its own, and
// a connection for each call in flight: see package awsclient.
func New(client Client, cfg Config) (*Sink, error) {
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, MaxBytes)
	if err := batch.CheckConfig(client != nil, "QueueURL", cfg.QueueURL, cfg.MaxMessageBytes, MaxBytes); err != nil {
		return nil, fmt.Errorf("sqssink config: %w", err)
	}
	s := &Sink{client: client, codec: codec{url: cfg.QueueURL}}
	s.input.QueueUrl = &s.codec.url
	call := s.callSDK
	if c, own := client.(*sqs.Client); own && !cfg.SDKCodec {
		call = s.call
		s.direct = direct(c)
	}
	s.sender = batch.NewSink(call, outbox.Limits{
		Entries:      batch.MaxEntries,
		MessageBytes: cfg.MaxMessageBytes,
		// The queue's MaximumMessageSize is about each message, not about their
		// sum.
		BatchBytes: MaxBytes,
	})
	return s, nil
}

// Limits implements [outbox.Sink]: ten messages, each of at most Config.MaxMessageBytes, and MaxBytes together.
func (s *Sink) Limits() outbox.Limits { return s.sender.Limits() }

// Publish implements [outbox.Sink] with SendMessageBatch. When the queue refuses a request as a whole because
// of its messages, they are sent again in smaller requests, so that only the message to blame is rejected.
func (s *Sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	return s.sender.Publish(ctx, msgs)
}
