package sinks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// transport gives every request the same answer and keeps the last request. It is for one call at a time.
type transport struct {
	// status, header and answer are the answer; answer is its body. A nil header is an empty one.
	status int
	header http.Header
	answer []byte

	// requests is how many requests there were. request is the last, nil before any, and body is its body, which the
	// next request overwrites.
	requests int
	request  *http.Request
	body     []byte
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	buffer := bytes.NewBuffer(t.body[:0])
	if _, err := buffer.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	t.requests++
	t.request, t.body = r, buffer.Bytes()
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	header := t.header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: t.status, Header: header, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(t.answer)), ContentLength: int64(len(t.answer)), Request: r,
	}, r.Body.Close()
}

// pair is two sinks of one service, one with the SDK's codec and one with our own, and the transport of each.
type pair struct {
	sdk, own           outbox.Sink
	sdkWires, ownWires *transport
}

// over makes a sink for the destination s.odd, with these settings, whose requests go to wires.
func (s *service) over(tb testing.TB, wires *transport, set settings) outbox.Sink {
	tb.Helper()
	set.destination = s.odd
	return s.sink(tb, config("http://127.0.0.1:9", &http.Client{Transport: wires}), set)
}

// newPair returns a pair of sinks with these settings, whose transports answer with the status 200 and no entries.
func newPair(tb testing.TB, s *service, set settings) pair {
	tb.Helper()
	p := pair{sdkWires: &transport{}, ownWires: &transport{}}
	p.answer(http.StatusOK, nil, []byte(s.empty))
	p.own = s.over(tb, p.ownWires, set)
	set.sdkCodec = true
	p.sdk = s.over(tb, p.sdkWires, set)
	return p
}

// answer sets the answer to all later requests of both sinks. A nil header is an empty one.
func (p pair) answer(status int, header http.Header, body []byte) {
	for _, w := range []*transport{p.sdkWires, p.ownWires} {
		w.status, w.header, w.answer = status, header, body
	}
}

// same publishes msgs with both sinks and tests that they return the same results; of errors it compares only whether
// there is one.
func (p pair) same(t *testing.T, msgs []outbox.Message) {
	t.Helper()
	sdk, own := p.sdk.Publish(t.Context(), msgs), p.own.Publish(t.Context(), msgs)
	if len(sdk) != len(own) {
		t.Fatalf("%d results with the SDK, %d without", len(sdk), len(own))
	}
	for i := range sdk {
		a, b := &sdk[i], &own[i]
		if a.Class != b.Class || a.Code != b.Code || a.MessageID != b.MessageID || a.SequenceNumber != b.SequenceNumber || (a.Err == nil) != (b.Err == nil) {
			t.Errorf("message %d:\nwith the SDK %+v\nwithout      %+v", i, *a, *b)
		}
	}
}

// sameBehind publishes msgs with both sinks three times and tests that they return the same results: with the given
// answer, with the body success and status 200, and with the given answer again. After a successful call the sink
// with our own codec no longer goes through the SDK's stack.
func (p pair) sameBehind(t *testing.T, msgs []outbox.Message, status int, header http.Header, body, success []byte) {
	t.Helper()
	p.answer(status, header, body)
	p.same(t, msgs)
	p.answer(http.StatusOK, nil, success)
	p.same(t, msgs)
	p.answer(status, header, body)
	p.same(t, msgs)
}

// sameRequest tests that the last requests of both sinks differ in nothing but time, invocation id, signature and
// body, and that the one of our own codec is signed correctly.
func (p pair) sameRequest(t *testing.T) {
	t.Helper()
	a, b := p.sdkWires.request, p.ownWires.request
	if a.Method != b.Method || a.URL.String() != b.URL.String() || a.Host != b.Host {
		t.Errorf("%s %s (%s) with the SDK, %s %s (%s) without", a.Method, a.URL, a.Host, b.Method, b.URL, b.Host)
	}
	vary := []string{"Amz-Sdk-Invocation-Id", "Authorization", "Content-Length", "X-Amz-Date"}
	names := func(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }
	if !slices.Equal(names(a.Header), names(b.Header)) {
		t.Errorf("headers %v with the SDK, %v without", names(a.Header), names(b.Header))
	}
	for name, values := range a.Header {
		if !slices.Contains(vary, name) && !slices.Equal(values, b.Header[name]) {
			t.Errorf("%s: %v with the SDK, %v without", name, values, b.Header[name])
		}
	}
	if int64(len(p.ownWires.body)) != b.ContentLength {
		t.Errorf("%d bytes with a content length of %d", len(p.ownWires.body), b.ContentLength)
	}
	signed(t, p.ownWires)
}

// signed tests that the signature of own's last request is the one that the SDK's signer makes for that request.
func signed(t *testing.T, own *transport) {
	t.Helper()
	r := own.request
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	again := r.Clone(r.Context())
	authorization := again.Header.Get("Authorization")
	for _, name := range []string{"Authorization", "User-Agent", "Amz-Sdk-Request"} {
		if !strings.Contains(authorization, strings.ToLower(name)) {
			again.Header.Del(name)
		}
	}
	sum := sha256.Sum256(own.body)
	service, _, _ := strings.Cut(strings.SplitN(authorization, "/", 5)[3], "/")
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey},
		again, hex.EncodeToString(sum[:]), service, region, at)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Header.Get("Authorization"); got != authorization {
		t.Errorf("signed %s, want %s", authorization, got)
	}
}
