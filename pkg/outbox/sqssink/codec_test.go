package sqssink_test

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/wiretest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

// open returns what makes a sink whose client has these options.
func open(options ...func(*sqs.Options)) wiretest.Open {
	return func(tb testing.TB, wires *wiretest.Transport, sdkCodec bool) outbox.Sink {
		tb.Helper()
		endpoint := wiretest.Endpoint
		c := sqs.New(sqs.Options{
			BaseEndpoint: &endpoint,
			Region:       wiretest.Region,
			Credentials:  credentials.NewStaticCredentialsProvider(wiretest.AccessKey, wiretest.SecretKey, ""),
			HTTPClient:   &http.Client{Transport: wires},
			Retryer:      awsclient.Retryer(),
		}, options...)
		s, err := sqssink.New(c, sqssink.Config{QueueURL: wiretest.Endpoint + `/000000000000/or"ders.fifo`, SDKCodec: sdkCodec})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
}

func newPair(tb testing.TB, options ...func(*sqs.Options)) wiretest.Pair {
	tb.Helper()
	return wiretest.NewPair(tb, open(options...), `{}`)
}

func TestOwnCodecSendsWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rapid.Check(t, func(rt *rapid.T) {
		msgs := wiretest.Draw(rt)
		p.SDK.Publish(t.Context(), msgs)
		p.Own.Publish(t.Context(), msgs)
		wiretest.SameRequest(t, p.SDKWires, p.OwnWires)
		var a, b any
		if err := json.Unmarshal(p.SDKWires.Body, &a); err != nil {
			rt.Fatal(err)
		}
		if err := json.Unmarshal(p.OwnWires.Body, &b); err != nil {
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

// answer is the answer of a queue that accepted all of msgs.
func answer(msgs []outbox.Message) []byte {
	out := bytes.NewBufferString(`{"Successful":[`)
	for i := range msgs {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, `{"Id":"%d","MessageId":"5fea7756-0ea4-451a-a703-a558b933e27%d","MD5OfMessageBody":"%x",`+
			`"MD5OfMessageAttributes":"8ba5c6f6a6b3e0a2bb9c8a3d0a1a5c11","SequenceNumber":"1887099338342502374%d"}`,
			i, i, md5.Sum([]byte(msgs[i].Body)), i)
	}
	out.WriteString(`]}`)
	return out.Bytes()
}

func seeds(msgs []outbox.Message) [][]byte {
	good := answer(msgs)
	return [][]byte{
		good,
		bytes.ReplaceAll(good, []byte(`,`), []byte(" ,\n\t")),
		bytes.Replace(good, []byte(`"Id":"1"`), []byte(`"Id":"0"`), 1),
		bytes.Replace(good, []byte(`"Id":"1",`), nil, 1),
		bytes.Replace(good, []byte(`"Id":"1"`), []byte(`"Id":"\u0031"`), 1),
		bytes.Replace(good, []byte(`"MessageId"`), []byte(`"New":null,"MessageId"`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Failed":[]}`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Failed":[{"Id":"1","Code":"InternalError","SenderFault":false}]}`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Successful":[]}`), 1),
		[]byte(`{"Failed":[{"Id":"0","Code":"InvalidMessageContents","Message":"a \"b\"","SenderFault":true},{"Id":"1","Code":"x","Message":"y","SenderFault":true}]}`),
		[]byte(`{"Failed":null,"Successful":null}`), []byte(`{}`), []byte(``), []byte(`[]`), []byte(`null`),
		good[:len(good)/2], append(bytes.Clone(good), `{}`...),
		[]byte(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`),
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
		f.Add(http.StatusOK, "", seed)
		f.Add(http.StatusBadRequest, "AWS.SimpleQueueService.NonExistentQueue;Sender", seed)
	}
	f.Add(http.StatusCreated, "", answer(msgs))
	f.Add(http.StatusServiceUnavailable, "", []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, queryError string, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		// Without checksums, because the SDK's check panics at an entry without id.
		p := newPair(t, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })
		p.SameBehind(t, msgs, status, http.Header{"X-Amzn-Query-Error": {queryError}}, body, answer(msgs))
	})
}

func TestWrongChecksumIsUnknownInEveryForm(t *testing.T) {
	t.Parallel()
	msgs := sinktest.Messages(3)
	wrong := bytes.Replace(answer(msgs), fmt.Appendf(nil, "%x", md5.Sum([]byte(msgs[1].Body))), bytes.Repeat([]byte("0"), 32), 1)
	for name, body := range map[string][]byte{
		"plain":   wrong,
		"escaped": bytes.Replace(wrong, []byte(`"Id":"0"`), []byte(`"Id":"\u0030"`), 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.Answer(http.StatusOK, nil, body)
			results := p.Own.Publish(t.Context(), msgs)
			wiretest.Same(t, p.SDK.Publish(t.Context(), msgs), results)
			for i := range results {
				if results[i].Class != outbox.Unknown {
					t.Errorf("message %d: %v", i, results[i].Class)
				}
			}
			off := newPair(t, func(o *sqs.Options) { o.DisableMessageChecksumValidation = true })
			off.Answer(http.StatusOK, nil, body)
			for i, r := range off.Own.Publish(t.Context(), msgs) {
				if r.Class != outbox.Accepted {
					t.Errorf("message %d, not checked: %v (%v)", i, r.Class, r.Err)
				}
			}
		})
	}
}

// The client's own settings are kept with the sink's codec too.
func TestOwnCodecKeepsTheRetriesOfTheClient(t *testing.T) {
	t.Parallel()
	fail := &wiretest.Failing{Transport: wiretest.Transport{Answer: []byte(`{}`)}}
	endpoint := wiretest.Endpoint
	c := sqs.New(sqs.Options{
		BaseEndpoint: &endpoint, Region: wiretest.Region, HTTPClient: &http.Client{Transport: fail},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 2
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
		Credentials: credentials.NewStaticCredentialsProvider(wiretest.AccessKey, wiretest.SecretKey, ""),
	})
	s, err := sqssink.New(c, sqssink.Config{QueueURL: wiretest.Endpoint + "/000000000000/orders.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Publish(t.Context(), sinktest.Messages(1)); r[0].Class != outbox.Unknown || fail.Requests != 2 {
		t.Errorf("%v after %d tries", r[0].Class, fail.Requests)
	}
}
