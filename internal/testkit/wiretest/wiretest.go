// Package wiretest compares the requests that sinks write and the answers that
// they read with what the AWS SDK makes of them.
package wiretest

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
	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Region, Endpoint and the keys are those of all clients under test.
const (
	Region    = "eu-west-1"
	Endpoint  = "http://127.0.0.1:9"
	AccessKey = "AKIDEXAMPLE"
	SecretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// Transport gives every request the same answer and keeps the last request. It is for one call at a time.
type Transport struct {
	// Status, Header and Answer are the answer; Answer is its body. A nil Header is an empty one.
	Status int
	Header http.Header
	Answer []byte

	// Request is the last request, nil before any, and Body is its body, which the next request overwrites.
	Request *http.Request
	Body    []byte
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	buffer := bytes.NewBuffer(t.Body[:0])
	_, err := buffer.ReadFrom(r.Body)
	if err != nil {
		return nil, err
	}
	t.Request, t.Body = r, buffer.Bytes()
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	header := t.Header
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{
		StatusCode: t.Status, Header: header, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(t.Answer)), ContentLength: int64(len(t.Answer)), Request: r,
	}, r.Body.Close()
}

// Same tests that two sinks, one with the SDK's codec and one with our own, returned the same results; of errors it
// compares only whether there is one.
func Same(t *testing.T, sdk, own []outbox.Result) {
	t.Helper()
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

// SameRequest tests that the last requests of two transports differ in nothing but time, invocation id, signature and
// body, and that own's is signed correctly.
func SameRequest(t *testing.T, sdk, own *Transport) {
	t.Helper()
	a, b := sdk.Request, own.Request
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
	if int64(len(own.Body)) != b.ContentLength {
		t.Errorf("%d bytes with a content length of %d", len(own.Body), b.ContentLength)
	}
	signed(t, own)
}

// signed tests that the signature of own's last request is the one that the SDK's signer makes for that request.
func signed(t *testing.T, own *Transport) {
	t.Helper()
	r := own.Request
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
	sum := sha256.Sum256(own.Body)
	service, _, _ := strings.Cut(strings.SplitN(authorization, "/", 5)[3], "/")
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey},
		again, hex.EncodeToString(sum[:]), service, Region, at)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Header.Get("Authorization"); got != authorization {
		t.Errorf("signed %s, want %s", authorization, got)
	}
}

// Draw returns one to ten messages of any texts, with up to eight attributes each.
func Draw(t *rapid.T) []outbox.Message {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[{}":,a-z\\<>&%+ /\n\t]*`),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	msgs := make([]outbox.Message, rapid.IntRange(1, 10).Draw(t, "messages"))
	for i := range msgs {
		m := &msgs[i]
		m.Body = text.Draw(t, "body")
		m.GroupID = text.Draw(t, "group")
		m.DeduplicationID = text.Draw(t, "deduplication id")
		names := slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z_]{1,12}`), 0, 8, rapid.ID).Draw(t, "names")))
		for _, name := range names {
			m.Attributes = append(m.Attributes, outbox.Attribute{Name: name, Value: text.Draw(t, "value")})
		}
	}
	return msgs
}
