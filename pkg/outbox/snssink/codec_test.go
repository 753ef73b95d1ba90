package snssink_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/wiretest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

// open returns what makes a sink whose client has these options.
func open(options ...func(*sns.Options)) wiretest.Open {
	return func(tb testing.TB, wires *wiretest.Transport, sdkCodec bool) outbox.Sink {
		tb.Helper()
		endpoint := wiretest.Endpoint
		c := sns.New(sns.Options{
			BaseEndpoint: &endpoint,
			Region:       wiretest.Region,
			Credentials:  credentials.NewStaticCredentialsProvider(wiretest.AccessKey, wiretest.SecretKey, ""),
			HTTPClient:   &http.Client{Transport: wires},
			Retryer:      awsclient.Retryer(),
		}, options...)
		s, err := snssink.New(c, snssink.Config{TopicARN: "arn:aws:sns:eu-west-1:000000000000:or ders.fifo", SDKCodec: sdkCodec})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
}

func newPair(tb testing.TB, options ...func(*sns.Options)) wiretest.Pair {
	tb.Helper()
	return wiretest.NewPair(tb, open(options...), `<a/>`)
}

func TestOwnCodecSendsWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		msgs := wiretest.Draw(rt)
		p.SDK.Publish(t.Context(), msgs)
		p.Own.Publish(t.Context(), msgs)
		wiretest.SameRequest(t, p.SDKWires, p.OwnWires)
		a, err := url.ParseQuery(string(p.SDKWires.Body))
		if err != nil {
			rt.Fatal(err)
		}
		b, err := url.ParseQuery(string(p.OwnWires.Body))
		if err != nil {
			rt.Fatalf("%v in %s", err, p.OwnWires.Body)
		}
		if !reflect.DeepEqual(a, b) {
			rt.Errorf("with the SDK %s\nwithout      %s", p.SDKWires.Body, p.OwnWires.Body)
		}
	})
}

func TestConformanceWithTheSDKCodec(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, openSDK)
}

func TestFaultsWithTheSDKCodec(t *testing.T) {
	t.Parallel()
	sinktest.RunFaults(t, openSDK)
}

// answer is the answer of a topic that accepted all of msgs.
func answer(msgs []outbox.Message) []byte {
	out := bytes.NewBufferString(`<?xml version="1.0"?><PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Failed/><Successful>`)
	for i := range msgs {
		fmt.Fprintf(out, `<member><MessageId>5fea7756-0ea4-451a-a703-a558b933e27%d</MessageId><Id>%d</Id>`+
			`<SequenceNumber>1000000000000000000%d</SequenceNumber></member>`, i, i, i)
	}
	out.WriteString(`</Successful></PublishBatchResult><ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata></PublishBatchResponse>`)
	return out.Bytes()
}

func seeds(msgs []outbox.Message) [][]byte {
	good := answer(msgs)
	failed := `<Failed><member><Id>1</Id><Code>InternalError</Code><Message>a b</Message><SenderFault>false</SenderFault></member></Failed>`
	return [][]byte{
		good,
		bytes.ReplaceAll(good, []byte(`><`), []byte(">\n  <")),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>0</Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), nil, 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>&#49;</Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id><!-- -->1</Id><New/>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id><![CDATA[1]]></Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>1</Id><Id>2</Id>`), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(failed), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(failed+failed), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(strings.Replace(failed, "a b", "a &amp; b", 1)), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(strings.Replace(failed, "false", "maybe", 1)), 1),
		bytes.Replace(good, []byte(`<Successful>`), []byte(`<Successful></Successful><Successful>`), 1),
		bytes.Replace(good, []byte(` xmlns="http://sns.amazonaws.com/doc/2010-03-31/"`), nil, 1),
		[]byte(``), []byte(`<a/>`), []byte(`<PublishBatchResponse/>`),
		good[:len(good)/2], append(bytes.Clone(good), `<a>`...),
		[]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>no</Message></Error></ErrorResponse>`),
	}
}

// FuzzAnswer compares what the sink makes of an answer with what it makes of it
// with the SDK's codec.
func FuzzAnswer(f *testing.F) {
	msgs := sinktest.Messages(3)
	for i := range msgs {
		msgs[i].GroupID = fmt.Sprint("order/", i)
		msgs[i].DeduplicationID = fmt.Sprint(i)
	}
	for _, seed := range seeds(msgs) {
		f.Add(http.StatusOK, seed)
		f.Add(http.StatusBadRequest, seed)
	}
	f.Add(http.StatusCreated, answer(msgs))
	f.Add(http.StatusServiceUnavailable, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		p := newPair(t)
		p.SameBehind(t, msgs, status, nil, body, answer(msgs))
	})
}

// The client's own settings are kept with the sink's codec too.
func TestOwnCodecKeepsTheRetriesOfTheClient(t *testing.T) {
	t.Parallel()
	fail := &wiretest.Failing{Transport: wiretest.Transport{Answer: []byte(`<a/>`)}}
	endpoint := wiretest.Endpoint
	c := sns.New(sns.Options{
		BaseEndpoint: &endpoint, Region: wiretest.Region, HTTPClient: &http.Client{Transport: fail},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 2
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
		Credentials: credentials.NewStaticCredentialsProvider(wiretest.AccessKey, wiretest.SecretKey, ""),
	})
	s, err := snssink.New(c, snssink.Config{TopicARN: "arn:aws:sns:eu-west-1:000000000000:orders.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Publish(t.Context(), sinktest.Messages(1)); r[0].Class != outbox.Unknown || fail.Requests != 2 {
		t.Errorf("%v after %d tries", r[0].Class, fail.Requests)
	}
}
