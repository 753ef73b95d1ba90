// Package tracing makes OpenTelemetry spans of calls to destinations. It imports the API of OpenTelemetry only; the
// program configures the SDK, which samples spans and sends them.
//
// A service that has a span when it calls [outbox.Enqueue] gives its events that span as their creation context, in
// the attribute traceparent. The relay leaves it unchanged: the same event always gives the same message, however
// often it is sent, and a consumer continues the trace of the change that the event describes, not the trace of the
// batch that the event was sent in.
//
// A call to a destination is one span with a link to the creation context of each of its events. A batch belongs to
// as many traces as it has events, so it has no parent. This is what the conventions for messaging ask for
// (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), and a span for each event would cost ten
// times as much and say the same ten times.
package tracing
