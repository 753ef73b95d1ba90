package sinks_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// draw returns one to ten messages of any texts, with up to eight attributes each.
func draw(t *rapid.T) []outbox.Message {
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

func TestOwnCodecSendsWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		p := newPair(t, s, settings{})
		rapid.Check(t, func(rt *rapid.T) {
			msgs := draw(rt)
			p.sdk.Publish(t.Context(), msgs)
			p.own.Publish(t.Context(), msgs)
			p.sameRequest(t)
			a, err := s.parse(p.sdkWires.body)
			if err != nil {
				rt.Fatal(err)
			}
			b, err := s.parse(p.ownWires.body)
			if err != nil {
				rt.Fatalf("%v in %s", err, p.ownWires.body)
			}
			if !reflect.DeepEqual(a, b) {
				rt.Errorf("with the SDK %s\nwithout      %s", p.sdkWires.body, p.ownWires.body)
			}
		})
	})
}

// fuzzAnswer compares what the sink makes of an answer with what it makes of it with the SDK's codec.
func fuzzAnswer(f *testing.F, s *service) {
	f.Helper()
	msgs := sinktest.Messages(3)
	for i := range msgs {
		msgs[i].GroupID = fmt.Sprint("order/", i)
		msgs[i].DeduplicationID = fmt.Sprint(i)
	}
	for _, seed := range s.seeds(msgs) {
		f.Add(http.StatusOK, "", seed)
		f.Add(http.StatusBadRequest, s.missing+";Sender", seed)
	}
	f.Add(http.StatusCreated, "", s.answer(msgs))
	f.Add(http.StatusServiceUnavailable, "", []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, queryError string, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		// Without checksums, because the SDK's check panics at an entry without id.
		p := newPair(t, s, settings{unchecked: true})
		p.sameBehind(t, msgs, status, http.Header{"X-Amzn-Query-Error": {queryError}}, body, s.answer(msgs))
	})
}

// The client's own settings are kept with the sink's codec too.
func TestOwnCodecKeepsTheRetriesOfTheClient(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *service) {
		t.Helper()
		failing := &transport{status: http.StatusServiceUnavailable, answer: []byte(s.empty)}
		cfg := config("http://127.0.0.1:9", &http.Client{Transport: failing})
		cfg.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = 2
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		}
		sink := s.sink(t, cfg, settings{destination: s.odd})
		if r := sink.Publish(t.Context(), sinktest.Messages(1)); r[0].Class != outbox.Unknown || failing.requests != 2 {
			t.Errorf("%v after %d tries", r[0].Class, failing.requests)
		}
	})
}
