package boot

import (
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestDestinationsAreRead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		target string
		want   Destination
	}{
		"topic":              {`"arn:aws:sns:eu-west-1:123456789012:orders.fifo"`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:orders.fifo", Region: "eu-west-1"}},
		"queue":              {`"arn:aws:sqs:eu-west-1:123456789012:orders.fifo"`, Destination{QueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", Region: "eu-west-1"}},
		"queue in China":     {`"arn:aws-cn:sqs:cn-north-1:123456789012:orders.fifo"`, Destination{QueueURL: "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders.fifo", Region: "cn-north-1"}},
		"queue in GovCloud":  {`"arn:aws-us-gov:sqs:us-gov-west-1:123456789012:o.fifo"`, Destination{QueueURL: "https://sqs.us-gov-west-1.amazonaws.com/123456789012/o.fifo", Region: "us-gov-west-1"}},
		"queue URL":          {`"https://sqs.us-east-2.amazonaws.com/123456789012/orders.fifo"`, Destination{QueueURL: "https://sqs.us-east-2.amazonaws.com/123456789012/orders.fifo", Region: "us-east-2"}},
		"queue URL, local":   {`"http://localhost:4566/000000000000/orders.fifo"`, Destination{QueueURL: "http://localhost:4566/000000000000/orders.fifo"}},
		"object":             {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"block","max_message_bytes":1048576}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1", OnReject: relay.Block, MaxMessageBytes: 1 << 20}},
		"object with a skip": {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"skip"}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1"}},
	}
	for name, c := range cases {
		var d Destinations
		if err := d.UnmarshalText([]byte(`{"a":` + c.target + `}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d["a"] != c.want {
			t.Errorf("%s: got %+v, want %+v", name, d["a"], c.want)
		}
	}
}

func TestWrongDestinationsAreRefused(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{}`:   "no destination",
		`[]`:   "not a JSON object",
		`null`: "not a JSON object",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:o.fifo"} x`:             "more behind",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:o.fifo"`:                "not a JSON object",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:orders"}`:               "FIFO",
		`{"a":"arn:aws:sqs:eu-west-1:123456789012:orders"}`:               "FIFO",
		`{"a":"https://sqs.eu-west-1.amazonaws.com/123456789012/orders"}`: "FIFO",
		`{"a":"arn:aws:s3:::bucket.fifo"}`:                                "not the ARN",
		`{"a":"arn:aws:sqs::123456789012:o.fifo"}`:                        "not the ARN",
		`{"a":"orders.fifo"}`:                                             "not the ARN",
		`{"a":""}`:                                                        "not the ARN",
		`{"a":{}}`:                                                        "not the ARN",
		`{"a":7}`:                                                         "neither an ARN",
		`{"a":{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","onreject":"block"}}`:                         "neither an ARN",
		`{"a":{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"drop"}}`:                         "on_reject",
		`{"a":{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","max_message_bytes":-1}}`:                     "max_message_bytes",
		`{"":"arn:aws:sns:eu-west-1:123456789012:o.fifo"}`:                                                     "no name",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:o.fifo","a":"arn:aws:sns:eu-west-1:123456789012:o.fifo"}`:    "twice",
		`{"a":"arn:aws-moon:sqs:moon-1:123456789012:o.fifo"}`:                                                  "partition",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:o","b":"x","c":"arn:aws:sns:eu-west-1:123456789012:o.fifo"}`: `"b"`,
	} {
		var d Destinations
		err := d.UnmarshalText([]byte(value))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", value, err, want)
		}
		if d != nil {
			t.Errorf("%s: %v was kept", value, d)
		}
	}
}

func FuzzDestinations(f *testing.F) {
	f.Add(`{"default":"arn:aws:sns:eu-west-1:123456789012:orders.fifo"}`)
	f.Add(`{"a":{"arn":"https://sqs.eu-west-1.amazonaws.com/1/o.fifo","on_reject":"block","max_message_bytes":9}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var d Destinations
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return
		}
		if len(d) == 0 {
			t.Error("no destination and no error")
		}
		for name, v := range d {
			target := v.TopicARN + v.QueueURL
			if name == "" || (v.TopicARN == "") == (v.QueueURL == "") || v.MaxMessageBytes < 0 || !strings.Contains(target, ".fifo") {
				t.Errorf("%q: %+v", name, v)
			}
		}
	})
}
