package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

const accepted = `{"Successful":[{"Id":"0","MessageId":"m","SequenceNumber":"1"}]}`

// client answers every request, and counts those that came past the SDK: only
// these carry a trace.
type client struct {
	answer func(r *http.Request) (*http.Response, error)
	// skew is how far the clock of the service is ahead.
	skew time.Duration

	direct, all int
	last        http.Header
	body        io.Reader
}

// Do implements the SDK's HTTPClient.
func (c *client) Do(r *http.Request) (*http.Response, error) {
	c.all++
	c.last, c.body = r.Header, r.Body
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.WroteRequest != nil {
		c.direct++
		defer trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	if c.answer != nil {
		return c.answer(r)
	}
	return c.reply(http.StatusOK, accepted), nil
}

func (c *client) reply(status int, body string) *http.Response {
	date := time.Now().Add(c.skew).UTC().Format(http.TimeFormat)
	return &http.Response{StatusCode: status, Header: http.Header{"Date": {date}}, Body: io.NopCloser(bytes.NewBufferString(body))}
}

type rotating struct {
	key   atomic.Value
	fault error
}

// Retrieve implements aws.CredentialsProvider.
func (r *rotating) Retrieve(context.Context) (aws.Credentials, error) {
	key, _ := r.key.Load().(string)
	return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret", SessionToken: "token-" + key}, r.fault
}

func newSink(t *testing.T, c *client, credentials aws.CredentialsProvider, change func(*sqs.Options)) *sqssink.Sink {
	t.Helper()
	endpoint := "http://127.0.0.1:9"
	o := sqs.Options{
		BaseEndpoint: &endpoint, Region: "eu-west-1", Credentials: credentials, HTTPClient: c, Retryer: awsclient.Retryer(),
		DisableMessageChecksumValidation: true,
	}
	if change != nil {
		change(&o)
	}
	sink, err := sqssink.New(sqs.New(o), sqssink.Config{QueueURL: endpoint + "/000000000000/orders.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func keys(key string) *rotating {
	r := new(rotating)
	r.key.Store(key)
	return r
}

func publish(t *testing.T, s *sqssink.Sink) outbox.Result {
	t.Helper()
	return s.Publish(t.Context(), sinktest.Messages(1))[0]
}

func TestOneCallASecondTakesTheSDKsWholeWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := new(client)
		s := newSink(t, c, keys("a"), nil)
		for range 30 {
			if r := publish(t, s); r.Class != outbox.Accepted || r.MessageID != "m" {
				t.Fatalf("%+v", r)
			}
			<-time.After(100*time.Millisecond + time.Microsecond)
		}
		if c.all != 30 || c.direct < 26 || c.direct > 27 {
			t.Errorf("%d of %d calls were direct, want all but one a second", c.direct, c.all)
		}
	})
}

// net/http may look for the end of a body behind the end of the call.
func TestARequestThatTheSDKHasClosedEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	c := new(client)
	publish(t, newSink(t, c, keys("a"), nil))
	if n, err := io.Copy(io.Discard, c.body); c.direct != 0 || n != 0 || err != nil {
		t.Errorf("read %d bytes, error %v", n, err)
	}
}

func TestClientsWithHooksTakeTheSDKsWholeWay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sqs.Options){
		"retries": func(o *sqs.Options) { o.Retryer = nil },
		"middleware": func(o *sqs.Options) {
			o.APIOptions = append(o.APIOptions, func(*middleware.Stack) error { return nil })
		},
		"logs":        func(o *sqs.Options) { o.ClientLogMode = aws.LogRequest },
		"traces":      func(o *sqs.Options) { o.TracerProvider = tracer{} },
		"interceptor": func(o *sqs.Options) { o.Interceptors.BeforeTransmit = append(o.Interceptors.BeforeTransmit, hook{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := new(client)
			s := newSink(t, c, keys("a"), change)
			for range 3 {
				publish(t, s)
			}
			if c.all != 3 || c.direct != 0 {
				t.Errorf("%d of %d calls were direct, want none", c.direct, c.all)
			}
		})
	}
}

type tracer struct{ tracing.NopTracerProvider }

type hook struct{}

// BeforeTransmit implements smithyhttp.BeforeTransmitInterceptor.
func (hook) BeforeTransmit(context.Context, *smithyhttp.InterceptorContext) error { return nil }

func TestNewCredentialsSignTheNextCall(t *testing.T) {
	t.Parallel()
	c, k := new(client), keys("old")
	s := newSink(t, c, k, nil)
	publish(t, s)
	k.key.Store("new")
	publish(t, s)
	if c.direct != 1 {
		t.Fatal("the second call was not direct")
	}
	if got := c.last.Get("X-Amz-Security-Token"); got != "token-new" || !bytes.Contains([]byte(c.last.Get("Authorization")), []byte("Credential=new/")) {
		t.Errorf("signed with %s, %s", c.last.Get("Authorization"), got)
	}
	k.fault = errors.New("no role")
	if r := publish(t, s); r.Class != outbox.Unavailable && r.Class != outbox.Unknown || c.all != 2 {
		t.Errorf("without credentials: %+v, %d requests", r, c.all)
	}
}

// other signs what it is asked to in a way of its own.
type other struct{ *v4.Signer }

// SignHTTP implements the SDK's HTTPSignerV4.
func (o other) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	err := o.Signer.SignHTTP(ctx, c, r, hash, service, region, at, options...)
	r.Header.Set("Authorization", r.Header.Get("Authorization")+time.Now().String())
	return err
}

func TestARequestThatCannotBeSignedAgainIsNoModel(t *testing.T) {
	t.Parallel()
	c := new(client)
	s := newSink(t, c, keys("a"), func(o *sqs.Options) { o.HTTPSignerV4 = other{v4.NewSigner()} })
	for range 3 {
		publish(t, s)
	}
	if c.direct != 0 {
		t.Errorf("%d calls were direct", c.direct)
	}
}

func TestTheClockOfTheServiceIsFollowed(t *testing.T) {
	t.Parallel()
	c := &client{skew: 20 * time.Minute}
	c.answer = func(r *http.Request) (*http.Response, error) {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			return nil, err
		}
		if time.Since(at).Abs() < 10*time.Minute {
			return c.reply(http.StatusForbidden, `{"__type":"com.amazonaws.sqs#RequestTimeTooSkewed"}`), nil
		}
		return c.reply(http.StatusOK, accepted), nil
	}
	s := newSink(t, c, keys("a"), nil)
	publish(t, s)
	for range 3 {
		if r := publish(t, s); r.Class != outbox.Accepted {
			t.Errorf("%+v", r)
		}
	}
	if c.direct == 0 {
		t.Error("no call was direct")
	}
	c.skew = 0
	c.answer = func(r *http.Request) (*http.Response, error) {
		return c.reply(http.StatusForbidden, `{"__type":"com.amazonaws.sqs#RequestTimeTooSkewed"}`), nil
	}
	before := c.direct
	if r := publish(t, s); r.Class != outbox.Unavailable || r.Code != "RequestTimeTooSkewed" || c.direct != before+1 {
		t.Errorf("%+v", r)
	}
	if publish(t, s); c.direct != before+1 {
		t.Error("the model outlived an answer that refused it")
	}
}

// What came of a direct call is never sent a second time.
func TestFailuresOfADirectCallAreReadByTheSDK(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	for name, c := range map[string]struct {
		answer func() (*http.Response, error)
		class  outbox.Class
	}{
		"no answer": {func() (*http.Response, error) { return nil, cut }, outbox.Unknown},
		"canceled":  {func() (*http.Response, error) { return nil, context.Canceled }, outbox.Unknown},
		"cut off": {func() (*http.Response, error) {
			body := io.MultiReader(bytes.NewBufferString(accepted[:20]), broken{cut})
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(body)}, nil
		}, outbox.Unknown},
		"refused": {func() (*http.Response, error) {
			return new(client).reply(http.StatusBadRequest, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`), nil
		}, outbox.Unavailable},
		"throttled": {func() (*http.Response, error) {
			return new(client).reply(http.StatusBadRequest, `{"__type":"com.amazonaws.sqs#RequestThrottled"}`), nil
		}, outbox.Throttled},
		"unavailable": {func() (*http.Response, error) { return new(client).reply(http.StatusServiceUnavailable, ``), nil }, outbox.Unknown},
		"another form": {func() (*http.Response, error) {
			return new(client).reply(http.StatusOK, `{"Successful":[{"Id":"0","MessageId":"\u006d","SequenceNumber":"1"}]}`), nil
		}, outbox.Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results := map[string]outbox.Result{}
			for way, warm := range map[string]bool{"direct": true, "whole": false} {
				h := new(client)
				s := newSink(t, h, keys("a"), nil)
				if warm {
					publish(t, s)
				}
				h.answer = func(*http.Request) (*http.Response, error) { return c.answer() }
				sent := h.all
				results[way] = publish(t, s)
				if h.all != sent+1 || (h.direct == 1) != warm {
					t.Errorf("%s: %d requests, %d of them direct", way, h.all-sent, h.direct)
				}
			}
			direct, whole := results["direct"], results["whole"]
			if direct.Class != c.class || direct.Class != whole.Class || direct.Code != whole.Code || direct.MessageID != whole.MessageID {
				t.Errorf("direct %+v\nwhole  %+v\nwant class %v", direct, whole, c.class)
			}
			if (direct.Err == nil) != (whole.Err == nil) || direct.Err != nil && direct.Err.Error() != whole.Err.Error() {
				t.Errorf("direct %v\nwhole  %v", direct.Err, whole.Err)
			}
		})
	}
}

type broken struct{ err error }

// Read implements io.Reader.
func (b broken) Read([]byte) (int, error) { return 0, b.err }
