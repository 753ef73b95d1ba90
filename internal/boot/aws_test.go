package boot_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// A company's proxy is trusted by AWS_CA_BUNDLE, as by all AWS tools.
func TestAuthoritiesOfTheEnvironmentAreTrusted(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	get := func() error {
		aws, err := boot.LoadAWS(t.Context(), 4)
		if err != nil {
			t.Fatal(err)
		}
		defer aws.HTTP.CloseIdleConnections()
		if aws.Config.HTTPClient != aws.HTTP {
			t.Error("the clients of AWS services do not share the connections")
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := aws.HTTP.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	if err := get(); err == nil {
		t.Error("an unknown authority is trusted")
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
	if err := get(); err != nil {
		t.Errorf("with AWS_CA_BUNDLE: %v", err)
	}
}

type answers string

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(string(a))), Request: r,
	}, r.Body.Close()
}

// The clients that the functions make must have nothing that keeps the sinks from
// going past the SDK's stack: that costs a third of a relay's processor time. A
// call through the stack has more than 250 allocations, one past it less than 60.
func TestChosenHeadersReachTheRelay(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	aws, err := boot.LoadAWS(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	sinks, err := aws.Sinks(boot.Destinations{
		"audit": {TopicARN: "arn:aws:sns:eu-west-1:000000000000:orders.fifo", Region: "eu-west-1", HeaderAttributes: []string{"tenant"}},
	}, false)
	if got := sinks["audit"].Encoder.HeaderAttributes; err != nil || len(got) != 1 || got[0] != "tenant" {
		t.Errorf("header attributes are %q, error %v", got, err)
	}
}

func TestTheRelaysCallsGoPastTheSDKsStack(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "eu-west-1")
	aws, err := boot.LoadAWS(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	destinations := boot.Destinations{
		"queue": {QueueURL: "https://sqs.eu-west-1.amazonaws.com/000000000000/orders.fifo", Region: "eu-west-1"},
		"topic": {TopicARN: "arn:aws:sns:eu-west-1:000000000000:orders.fifo", Region: "eu-west-1"},
	}
	sinks, err := aws.Sinks(destinations, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]answers{
		"queue": `{"Successful":[{"Id":"0","MessageId":"m","SequenceNumber":"1"}]}`,
		"topic": `<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Successful><member>` +
			`<Id>0</Id><MessageId>m</MessageId><SequenceNumber>1</SequenceNumber></member></Successful></PublishBatchResult>` +
			`<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>`,
	} {
		aws.HTTP.Transport = answer
		msgs := []outbox.Message{{GroupID: "order:1", DeduplicationID: "d", Body: "{}", Size: 2}}
		n := testing.AllocsPerRun(50, func() {
			if r := sinks[name].Sink.Publish(t.Context(), msgs)[0]; r.Class != outbox.Accepted {
				t.Fatalf("%s: %+v", name, r)
			}
		})
		if n > 120 {
			t.Errorf("%s: %.0f allocations in a call", name, n)
		}
	}
}

// hosts answers every request with no entries, and remembers the host and the signed region of the last one.
type hosts struct{ host, region string }

// RoundTrip implements http.RoundTripper.
func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.host = r.URL.Host
	if scope := strings.Split(r.Header.Get("Authorization"), "/"); len(scope) > 2 {
		h.region = scope[2]
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"Successful":[]}`)), Request: r,
	}, r.Body.Close()
}

func TestAQueueIsCalledAtTheHostOfItsURL(t *testing.T) {
	const queue = "/123456789012/orders.fifo"
	for name, c := range map[string]struct {
		variables    map[string]string
		url          string
		host, region string
	}{
		"usual":                         {nil, "https://sqs.us-east-2.amazonaws.com" + queue, "sqs.us-east-2.amazonaws.com", "us-east-2"},
		"legacy":                        {nil, "https://queue.amazonaws.com" + queue, "sqs.us-east-1.amazonaws.com", "us-east-1"},
		"FIPS":                          {nil, "https://sqs-fips.us-east-2.amazonaws.com" + queue, "sqs-fips.us-east-2.amazonaws.com", "us-east-2"},
		"dual-stack":                    {nil, "https://sqs.us-east-2.api.aws" + queue, "sqs.us-east-2.api.aws", "us-east-2"},
		"VPC endpoint":                  {nil, "https://vpce-0a-1.sqs.us-east-2.vpce.amazonaws.com" + queue, "vpce-0a-1.sqs.us-east-2.vpce.amazonaws.com", "us-east-2"},
		"emulator":                      {nil, "http://localhost:4566" + queue, "localhost:4566", "eu-west-1"},
		"FIPS wanted":                   {map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sqs.us-east-2.amazonaws.com" + queue, "sqs-fips.us-east-2.amazonaws.com", "us-east-2"},
		"FIPS wanted and named":         {map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sqs-fips.us-east-2.api.aws" + queue, "sqs-fips.us-east-2.api.aws", "us-east-2"},
		"FIPS wanted and another named": {map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sqs.us-east-2.api.aws" + queue, "", ""},
		"dual-stack wanted":             {map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://vpce-0a-1.sqs.us-east-2.vpce.amazonaws.com" + queue, "vpce-0a-1.sqs.us-east-2.vpce.amazonaws.com", "us-east-2"},
		"endpoint of a variable":        {map[string]string{"AWS_ENDPOINT_URL": "http://proxy.example:1"}, "https://sqs.us-east-2.api.aws" + queue, "proxy.example:1", "us-east-2"},
		"endpoint of SQS of a variable": {map[string]string{"AWS_ENDPOINT_URL_SQS": "http://proxy.example:2"}, "http://localhost:4566" + queue, "proxy.example:2", "eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ACCESS_KEY_ID", "key")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			t.Setenv("AWS_REGION", "eu-west-1")
			// A suite beside an emulator has these.
			for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"} {
				t.Setenv(k, "")
			}
			for k, v := range c.variables {
				t.Setenv(k, v)
			}
			aws, err := boot.LoadAWS(t.Context(), 4)
			if err != nil {
				t.Fatal(err)
			}
			var seen hosts
			aws.HTTP.Transport = &seen
			var destinations boot.Destinations
			if err = destinations.UnmarshalText([]byte(`{"d":"` + c.url + `"}`)); err != nil {
				t.Fatal(err)
			}
			sinks, err := aws.Sinks(destinations, false)
			if err != nil {
				t.Fatal(err)
			}
			r := sinks["d"].Sink.Publish(t.Context(), []outbox.Message{{GroupID: "order:1", DeduplicationID: "d", Body: "{}", Size: 2}})[0]
			if seen.host != c.host || seen.region != c.region {
				t.Errorf("called %q, signed for %q; want %q, %q: %+v", seen.host, seen.region, c.host, c.region, r)
			}
		})
	}
}
