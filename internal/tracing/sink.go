package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Values of the attribute messaging.system, by OpenTelemetry's conventions for messaging.
const (
	SNS = "aws.sns"
	SQS = "aws_sqs"
)

// Attributes of a span. Those with a prefix of outbox are ours, the others those of
// OpenTelemetry's conventions for messaging.
const (
	keySystem        = attribute.Key("messaging.system")
	keyDestination   = attribute.Key("messaging.destination.name")
	keyOperation     = attribute.Key("messaging.operation.name")
	keyOperationType = attribute.Key("messaging.operation.type")
	keyCount         = attribute.Key("messaging.batch.message_count")
	keyErrorType     = attribute.Key("error.type")

	// KeyDestination is the name of the destination in the relay's configuration. Of a span.
	KeyDestination = attribute.Key("outbox.destination")
	// KeyAccepted is how many messages of the batch the destination accepted. Of a span.
	KeyAccepted = attribute.Key("outbox.accepted")
	// KeyEventID is the event id of a message. Of a link, and of a span event.
	KeyEventID = attribute.Key("outbox.event_id")
	// KeyClass is the [outbox.Class] of the result of a message that was not accepted. Of a span event.
	KeyClass = attribute.Key("outbox.class")
	// KeyCode is the broker's error code of a message that was not accepted. Of a span event.
	KeyCode = attribute.Key("outbox.code")
)

// refused is the name of the span event that a span has for each message which was not accepted.
const refused = "not accepted"

// Target is what spans say about a destination.
type Target struct {
	// Destination is the name of the destination in the relay's configuration.
	Destination string
	// System is the constant SNS or SQS.
	System string
	// Name is the name of the topic or queue.
	Name string
}

// Sink returns a sink that publishes through next and makes a span of each call of Publish which has an event of
// a sampled trace: one whose attribute traceparent has the sampled flag. A call without such an event makes no
// span, so that the services that write events decide, by sampling, how many spans there are. With a nil tracer
// Sink returns next.
//
// Spans have event ids, classes and error codes, and no payload, no header and no text of an error.
func Sink(next outbox.Sink, tracer trace.Tracer, target Target) outbox.Sink {
	if tracer == nil {
		return next
	}
	operation := "send"
	if target.System == SNS {
		operation = "publish"
	}
	return &sink{
		next: next, tracer: tracer, name: operation + " " + target.Name,
		attributes: []attribute.KeyValue{
			keySystem.String(target.System), keyDestination.String(target.Name),
			keyOperation.String(operation), keyOperationType.String("send"),
			KeyDestination.String(target.Destination),
		},
	}
}

// sink is an [outbox.Sink] that makes spans of the calls of next.
type sink struct {
	next       outbox.Sink
	tracer     trace.Tracer
	name       string
	attributes []attribute.KeyValue
}

// Limits implements [outbox.Sink] with the limits of next.
func (s *sink) Limits() outbox.Limits { return s.next.Limits() }

// Publish implements [outbox.Sink]. The context that next gets has the span, where there is one.
func (s *sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	links := creations(ctx, msgs)
	if links == nil {
		return s.next.Publish(ctx, msgs)
	}
	// CLIENT, since the creation of the messages has spans of its own.
	ctx, span := s.tracer.Start(ctx, s.name,
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(s.attributes...), trace.WithAttributes(keyCount.Int(len(msgs))))
	defer span.End()
	results := s.next.Publish(ctx, msgs)
	if span.IsRecording() {
		record(span, msgs, results)
	}
	return results
}

// creations returns a link to the creation context of each message that has one, with the event id of the
// message, or nil when no such context is sampled.
func creations(ctx context.Context, msgs []outbox.Message) []trace.Link {
	var links []trace.Link
	sampled := false
	for i := range msgs {
		created := creation(ctx, &msgs[i])
		if !created.IsValid() {
			continue
		}
		sampled = sampled || created.IsSampled()
		links = append(links, trace.Link{
			SpanContext: created, Attributes: []attribute.KeyValue{KeyEventID.String(value(&msgs[i], outbox.AttributeEventID))},
		})
	}
	if !sampled {
		return nil
	}
	return links
}

// creation returns the creation context of a message: the span in which its event was written, from its attribute
// traceparent. Without that attribute, or with one that does not parse, the context is not valid.
func creation(ctx context.Context, m *outbox.Message) trace.SpanContext {
	traceparent := value(m, outbox.AttributeTraceparent)
	if traceparent == "" {
		return trace.SpanContext{}
	}
	ctx = propagation.TraceContext{}.Extract(trace.ContextWithSpanContext(ctx, trace.SpanContext{}), propagation.MapCarrier{outbox.HeaderTraceparent: traceparent})
	return trace.SpanContextFromContext(ctx)
}

// value returns the attribute of a message with that name, empty when the message has none.
func value(m *outbox.Message, name string) string {
	for i := range m.Attributes {
		if m.Attributes[i].Name == name {
			return m.Attributes[i].Value
		}
	}
	return ""
}

// record adds to a span how many of msgs were accepted, and a span event for each that was not. results has the
// result of each message at the same index. When a message was not accepted, the status of the span is Error and
// its error.type the class of the first such result.
func record(span trace.Span, msgs []outbox.Message, results []outbox.Result) {
	accepted := 0
	failed := ""
	for i, r := range results {
		if r.Class == outbox.Accepted {
			accepted++
			continue
		}
		if failed == "" {
			failed = r.Class.String()
		}
		if i < len(msgs) {
			span.AddEvent(refused, trace.WithAttributes(
				KeyEventID.String(value(&msgs[i], outbox.AttributeEventID)), KeyClass.String(r.Class.String()), KeyCode.String(r.Code)))
		}
	}
	span.SetAttributes(KeyAccepted.Int(accepted))
	if failed != "" {
		span.SetAttributes(keyErrorType.String(failed))
		span.SetStatus(codes.Error, failed)
	}
}
