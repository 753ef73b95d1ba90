package sinks_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

// eachCodec runs test for each service with each of its codecs. open opens a sink with that codec.
func eachCodec(t *testing.T, test func(t *testing.T, open func(*testing.T) sinktest.Harness)) {
	t.Helper()
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		for name, sdkCodec := range codecs() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, func(t *testing.T) sinktest.Harness { t.Helper(); return s.harness(t, settings{sdkCodec: sdkCodec}) })
			})
		}
	})
}

// codecs returns by name the values of settings.sdkCodec.
func codecs() map[string]bool { return map[string]bool{"own": false, "sdk": true} }

func TestConformance(t *testing.T) {
	t.Parallel()
	eachCodec(t, sinktest.Run)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	eachCodec(t, sinktest.RunFaults)
}

// expectClasses publishes msgs with sink and tests that message i gets the class want(i).
func expectClasses(t *testing.T, sink outbox.Sink, msgs []outbox.Message, want func(i int) outbox.Class) {
	t.Helper()
	for i, r := range sink.Publish(t.Context(), msgs) {
		if r.Class != want(i) {
			t.Errorf("message %d: %v (%s, %v), want %v", i, r.Class, r.Code, r.Err, want(i))
		}
	}
}

// expectUnavailable tests that a destination of s which does not exist at endpoint is Unavailable.
func expectUnavailable(t *testing.T, s *service, endpoint string) {
	t.Helper()
	sink := s.sink(t, config(endpoint, awsclient.HTTPClient(16)), settings{destination: s.nowhere})
	expectClasses(t, sink, sinktest.Messages(2), func(int) outbox.Class { return outbox.Unavailable })
}

func TestMissingDestinationIsUnavailable(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		expectUnavailable(t, s, start(t, awsfake.Config{}).URL())
	})
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		expectUnavailable(t, s, "http://"+l.Addr().String())
	})
}

func TestMissingCredentialsAreUnavailable(t *testing.T) {
	t.Parallel()
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials")
	})
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		sink := s.sink(t, aws.Config{Region: region, Credentials: none, Retryer: awsclient.Retryer}, settings{destination: s.nowhere})
		for _, r := range sink.Publish(t.Context(), sinktest.Messages(2)) {
			if r.Class != outbox.Unknown && r.Class != outbox.Unavailable {
				t.Errorf("%v (%s, %v)", r.Class, r.Code, r.Err)
			}
		}
	})
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		err := s.misconfigure()
		for _, want := range []string{"client", s.setting, "MaxMessageBytes"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not name %s", err, want)
			}
		}
	})
}

// The destination takes less than the sink is set to: the whole request is refused, and only the message to blame is
// rejected.
func TestDestinationWithALowerLimitRejectsOnlyWhatIsTooLong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		service    *service
		attributes map[string]string
		settings   settings
		more       int // bytes in the body of message 4
	}{
		"a queue of 1 KiB":   {sqsService(), map[string]string{"MaximumMessageSize": "1024"}, settings{}, 2000},
		"a topic of 256 KiB": {snsService(), nil, settings{maxMessageBytes: snssink.MaxBytes}, 300 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := c.service.sinkOf(t, start(t, awsfake.Config{}), c.settings, c.attributes)
			msgs := sinktest.Messages(10)
			msgs[4].Body = strings.Repeat("x", c.more)
			msgs[4].Size += c.more
			expectClasses(t, sink, msgs, func(i int) outbox.Class {
				if i == 4 {
					return outbox.Rejected
				}
				return outbox.Accepted
			})
		})
	}
}
