package wiretest

import (
	"net/http"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Pair is two sinks, one with the SDK's codec and one with our own, and the transport of each.
type Pair struct {
	SDK, Own           outbox.Sink
	SDKWires, OwnWires *Transport
}

// Open makes a sink whose requests go to wires: with the SDK's codec when sdkCodec is set, else with our own.
type Open func(tb testing.TB, wires *Transport, sdkCodec bool) outbox.Sink

// NewPair returns a pair of sinks that open makes, whose transports answer with the status 200 and the body answer.
func NewPair(tb testing.TB, open Open, answer string) Pair {
	tb.Helper()
	p := Pair{SDKWires: &Transport{}, OwnWires: &Transport{}}
	p.Answer(http.StatusOK, nil, []byte(answer))
	p.SDK, p.Own = open(tb, p.SDKWires, true), open(tb, p.OwnWires, false)
	return p
}

// Answer sets the answer to all later requests of both sinks. A nil header is an empty one.
func (p Pair) Answer(status int, header http.Header, body []byte) {
	for _, w := range []*Transport{p.SDKWires, p.OwnWires} {
		w.Status, w.Header, w.Answer = status, header, body
	}
}

// Same publishes msgs with both sinks and tests that they return the same results.
func (p Pair) Same(t *testing.T, msgs []outbox.Message) {
	t.Helper()
	Same(t, p.SDK.Publish(t.Context(), msgs), p.Own.Publish(t.Context(), msgs))
}

// SameBehind publishes msgs with both sinks three times and tests that they return the same results: with the given
// answer, with the body success and status 200, and with the given answer again. After a successful call the sink with
// our own codec no longer goes through the SDK's stack.
func (p Pair) SameBehind(t *testing.T, msgs []outbox.Message, status int, header http.Header, body, success []byte) {
	t.Helper()
	p.Answer(status, header, body)
	p.Same(t, msgs)
	p.Answer(http.StatusOK, nil, success)
	p.Same(t, msgs)
	p.Answer(status, header, body)
	p.Same(t, msgs)
}

// Failing is a transport that answers 503 and counts the requests.
type Failing struct {
	Transport
	Requests int // so far
}

// RoundTrip implements [http.RoundTripper].
func (f *Failing) RoundTrip(r *http.Request) (*http.Response, error) {
	f.Requests++
	f.Status = http.StatusServiceUnavailable
	return f.Transport.RoundTrip(r)
}
