// Package snssink makes a sink of an SNS FIFO topic, for a destination of a
// relay.
package snssink

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// MaxBytes is the largest message, and the largest batch in total, that a topic
// can be made to take: 1 MiB. DefaultMaxBytes is what a topic takes unless its
// attribute MaximumMessageSize says more (SNS API reference, CreateTopic).
const (
	MaxBytes        = 1 << 20
	DefaultMaxBytes = 256 << 10
)

// Client is the part of [sns.Client] that the sink needs. A client of another type is used as with
// Config.SDKCodec.
type Client interface {
	PublishBatch(ctx context.Context, in *sns.PublishBatchInput, opts ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// Config says which topic to publish to, and how. Only its TopicARN is required.
type Config struct {
	// TopicARN is the ARN of a FIFO topic. Required.
	TopicARN string
	// MaxMessageBytes is the largest message that the topic takes, at most MaxBytes: its attribute
	// MaximumMessageSize, where the topic has it. Defaults to DefaultMaxBytes. A topic that takes more than
	// DefaultMaxBytes delivers to SQS, Lambda and Firehose only (SNS developer guide, Large message payloads).
	MaxMessageBytes int
	// SDKCodec lets the SDK write the requests and read the answers, at several times the cost. When it is false
	// and the client is a [*sns.Client], the sink does both itself, and middleware of the client sees an input
	// with the topic and no entries. With a client that has no middleware, interceptors, traces, meters, logs or
	// retries, only about one call a second goes through the SDK's stack of steps: the others repeat the address
	// and the header of its request. Credentials, endpoint, signature, retries and errors are the SDK's in any
	// case. Defaults to false.
	SDKCodec bool
}

// Sink is an [outbox.Sink] for one topic. It is safe for concurrent use. Make it with New.
type Sink struct {
	client Client
	codec  codec
	sender *batch.Sink
	// direct makes calls without the SDK's stack of steps. It is nil when the client or SDKCodec rules that out.
	direct *wire.Direct
	// input is what the SDK is given when the codec writes the request: the topic and no entries. It is never
	// changed.
	input sns.PublishBatchInput
}

var _ outbox.Sink = (*Sink)(nil)

// New returns a sink that publishes with client, and makes no call. Its error names every fault at once: a nil
// client, an empty TopicARN, a MaxMessageBytes out of bounds. The client should have no retries of its own, and
// a connection for each call in flight: see package awsclient.
func New(client Client, cfg Config) (*Sink, error) {
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, DefaultMaxBytes)
	if err := batch.CheckConfig(client != nil, "TopicARN", cfg.TopicARN, cfg.MaxMessageBytes, MaxBytes); err != nil {
		return nil, fmt.Errorf("snssink config: %w", err)
	}
	s := &Sink{client: client, codec: codec{arn: cfg.TopicARN}}
	s.input.TopicArn = &s.codec.arn
	call := s.callSDK
	if c, own := client.(*sns.Client); own && !cfg.SDKCodec {
		call = s.call
		s.direct = direct(c)
	}
	s.sender = batch.NewSink(call, outbox.Limits{
		Entries:      batch.MaxEntries,
		MessageBytes: cfg.MaxMessageBytes,
		// A batch in total may be as large as one message, and 256 KiB on any
		// topic.
		BatchBytes: max(cfg.MaxMessageBytes, DefaultMaxBytes),
	})
	return s, nil
}

// Limits implements [outbox.Sink]: ten messages, each of at most Config.MaxMessageBytes, and together of as many or of
// DefaultMaxBytes, whichever is more.
func (s *Sink) Limits() outbox.Limits { return s.sender.Limits() }

// Publish implements [outbox.Sink] with PublishBatch. When the topic refuses a request as a whole because of
// its messages, they are sent again in smaller requests, so that only the message to blame is rejected.
func (s *Sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	return s.sender.Publish(ctx, msgs)
}
