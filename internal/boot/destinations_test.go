package boot

import (
	"reflect"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
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
		"queue URL, local":   {`"http://localhost:4566/000000000000/orders.fifo"`, Destination{QueueURL: "http://localhost:4566/000000000000/orders.fifo", Endpoint: "http://localhost:4566"}},
		"queue URL, FIPS":    {`"https://sqs-fips.us-east-2.amazonaws.com/123456789012/orders.fifo"`, Destination{QueueURL: "https://sqs-fips.us-east-2.amazonaws.com/123456789012/orders.fifo", Region: "us-east-2", Endpoint: "https://sqs-fips.us-east-2.amazonaws.com"}},
		"queue URL, legacy":  {`"https://us-east-2.queue.amazonaws.com/123456789012/orders.fifo"`, Destination{QueueURL: "https://sqs.us-east-2.amazonaws.com/123456789012/orders.fifo", Region: "us-east-2"}},
		"object":             {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"block","max_message_bytes":1048576}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1", OnReject: relay.Block, MaxMessageBytes: 1 << 20}},
		"object with a skip": {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"skip"}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1"}},
		"header attributes":  {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","header_attributes":["traceparent","tenant"]}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1", HeaderAttributes: []string{"traceparent", "tenant"}}},
		"none of them":       {`{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","header_attributes":[]}`, Destination{TopicARN: "arn:aws:sns:eu-west-1:123456789012:o.fifo", Region: "eu-west-1", HeaderAttributes: []string{}}},
	}
	for name, c := range cases {
		var d Destinations
		if err := d.UnmarshalText([]byte(`{"a":` + c.target + `}`)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(d["a"], c.want) {
			t.Errorf("%s: got %+v, want %+v", name, d["a"], c.want)
		}
	}
}

func TestWrongDestinationsAreRefused(t *testing.T) {
	t.Parallel()
	const topic, queue = `"arn:aws:sns:eu-west-1:123456789012:o.fifo"`, `"arn:aws:sqs:eu-west-1:123456789012:o.fifo"`
	object := func(more string) string { return `{"a":{"arn":` + topic + `,` + more + `}}` }
	for value, want := range map[string]string{
		`{}`:                                   "no destination",
		`[]`:                                   "not a JSON object",
		`null`:                                 "not a JSON object",
		`{"a":` + topic + `} x`:                "more behind",
		`{"a":` + topic:                        "not a JSON object",
		`{"a":7}`:                              "neither an ARN",
		`{"a":null}`:                           "neither an ARN",
		`{"a":[` + topic + `]}`:                "neither an ARN",
		`{"a":""}`:                             "not the ARN",
		`{"a":{}}`:                             "not the ARN",
		`{"a":{"arn":null}}`:                   "arn: is not a string",
		object(`"header_attributes":"tenant"`): "header_attributes: is not a list of strings",
		object(`"header_attributes":["a","b","c"]`):                       "choose at most 2",
		object(`"header_attributes":["sequence"]`):                        "header_attributes: \"sequence\" is the name of another attribute",
		object(`"header_attributes":["tenant id"]`):                       "cannot be the name",
		object(`"header_attributes":["tenant","tenant"]`):                 "named twice",
		`{"a":"orders.fifo"}`:                                             "not the ARN",
		`{"a":"arn:aws:s3:::bucket.fifo"}`:                                "not the ARN",
		`{"a":"arn:aws:sns:eu-west-1:123456789012:orders"}`:               "FIFO",
		`{"a":"arn:aws:sqs:eu-west-1:123456789012:orders"}`:               "FIFO",
		`{"a":"https://sqs.eu-west-1.amazonaws.com/123456789012/orders"}`: "FIFO",

		// A region, an account or a partition that AWS does not have.
		`{"a":"arn:aws:sqs::123456789012:o.fifo"}`:                               "has no region",
		`{"a":"arn:aws:sqs:EU-WEST-1:123456789012:o.fifo"}`:                      "lower case",
		`{"a":"arn:aws:sns:eu-west-1:12345:o.fifo"}`:                             "12 digits",
		`{"a":"arn:aws:sns:eu-west-1::o.fifo"}`:                                  "12 digits",
		`{"a":"https://sqs.eu-west-1.amazonaws.com/12345/o.fifo"}`:               "12 digits",
		`{"a":"https://SQS.EU-WEST-1.amazonaws.com/123456789012/o.fifo"}`:        "lower case",
		`{"a":"https://sns.eu-west-1.amazonaws.com/123456789012/o.fifo"}`:        "not known",
		`{"a":"https://k:hush@sqs.eu-west-1.amazonaws.com/123456789012/o.fifo"}`: "password",
		`{"a":"https://sqs.eu-west-1.amazonaws.com/123456789012/o.fifo?a=b"}`:    "behind the path",
		`{"a":"arn:aws-moon:sqs:moon-east-1:123456789012:o.fifo"}`:               "partition",

		// Keys of an object.
		object(`"onreject":"block"`):                     `onreject: is no key of a destination: the keys are arn`,
		object(`"ON_REJECT":"block"`):                    "is no key",
		object(`"":1`):                                   "is no key",
		object(`"on_reject":"block","on_reject":"skip"`): "on_reject: comes twice",
		object(`"arn":` + topic):                         "arn: comes twice",
		object(`"on_reject":"drop"`):                     "neither skip nor block",
		object(`"on_reject":""`):                         "neither skip nor block",
		object(`"on_reject":null`):                       "on_reject: is not a string",
		object(`"max_message_bytes":-1`):                 "between 1024 and 1048576",
		object(`"max_message_bytes":1`):                  "between 1024 and 1048576",
		object(`"max_message_bytes":1048577`):            "between 1024 and 1048576",
		object(`"max_message_bytes":"2048"`):             "not a whole number",
		object(`"max_message_bytes":2048.5`):             "not a whole number",

		// Names.
		`{"":` + topic + `}`:                                     "no name",
		`{"a ":` + topic + `}`:                                   "blanks at its ends",
		`{"\ta":` + topic + `}`:                                  "control characters",
		`{"a\u0000":` + topic + `}`:                              "control characters",
		`{"\ud800":` + topic + `}`:                               "not UTF-8",
		`{"` + strings.Repeat("a", 257) + `":` + topic + `}`:     "256",
		`{"cafe\u0301":` + topic + `}`:                           "NFC",
		`{"a":` + topic + `,"a":` + topic + `}`:                  `"a": is named twice`,
		`{"a b":` + topic + `,"ab":` + queue + `}`:               `"ab": differs from "a b"`,
		`{"a":` + topic + `,"\uff41":` + queue + `}`:             `differs from "a"`,
		`{"caf\u00e9":` + topic + `,"cafe\u0301":` + queue + `}`: `differs from "café"`,

		`{"a":"arn:aws:sns:eu-west-1:123456789012:o","b":"x","c":` + topic + `}`: `"b"`,
	} {
		var d Destinations
		err := d.UnmarshalText([]byte(value))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: error %v, want one with %q", value, err, want)
		}
		if d != nil {
			t.Errorf("%s: %v was kept", value, d)
		}
	}
}

func TestTwoNamesForOneTopicOrQueueAreRefused(t *testing.T) {
	t.Parallel()
	const queue = "arn:aws:sqs:us-east-1:123456789012:o.fifo"
	cases := map[string]struct {
		first, second string
		refused       bool
	}{
		"topic twice":                        {"arn:aws:sns:eu-west-1:123456789012:o.fifo", "arn:aws:sns:eu-west-1:123456789012:o.fifo", true},
		"queue twice":                        {queue, queue, true},
		"queue by ARN and URL":               {queue, "https://sqs.us-east-1.amazonaws.com/123456789012/o.fifo", true},
		"queue by ARN and legacy URL":        {queue, "https://queue.amazonaws.com/123456789012/o.fifo", true},
		"queue by ARN and FIPS URL":          {queue, "https://sqs-fips.us-east-1.amazonaws.com/123456789012/o.fifo", true},
		"queue by ARN and VPC endpoint":      {queue, "https://vpce-0a-1.sqs.us-east-1.vpce.amazonaws.com/123456789012/o.fifo", true},
		"queue by two VPC endpoints":         {"https://vpce-0a-1.sqs.us-east-1.vpce.amazonaws.com/123456789012/o.fifo", "https://vpce-0b-2.sqs.us-east-1.vpce.amazonaws.com/123456789012/o.fifo", true},
		"queue by ARN and a host of another": {queue, "http://localhost:4566/123456789012/o.fifo", true},
		"topic and queue of one name":        {queue, "arn:aws:sns:us-east-1:123456789012:o.fifo", false},
		"queues of two regions":              {queue, "arn:aws:sqs:us-east-2:123456789012:o.fifo", false},
		"queues of two accounts":             {queue, "arn:aws:sqs:us-east-1:123456789013:o.fifo", false},
		"queues of two names":                {queue, "arn:aws:sqs:us-east-1:123456789012:O.fifo", false},
	}
	for name, c := range cases {
		var d Destinations
		err := d.UnmarshalText([]byte(`{"one":"` + c.first + `","two":"` + c.second + `"}`))
		if c.refused && (err == nil || !strings.Contains(err.Error(), `"one" and "two"`)) {
			t.Errorf("%s: error %v, want one with both names", name, err)
		}
		if !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is taken has a name that events can give, and one topic or queue with all that the text said.
func FuzzDestinations(f *testing.F) {
	f.Add(`{"default":"arn:aws:sns:eu-west-1:123456789012:orders.fifo"}`)
	f.Add(`{"a":{"arn":"https://sqs.eu-west-1.amazonaws.com/123456789012/o.fifo","on_reject":"block","max_message_bytes":4096}}`)
	f.Add(`{"a":{"arn":"arn:aws:sns:eu-west-1:123456789012:o.fifo","on_reject":"block","on_reject":"skip"},"a ":null}`)
	f.Add(`{"caf\u00e9":"http://localhost:4566/0/o.fifo","cafe\u0301":"arn:aws:sqs:us-east-1:123456789012:o.fifo"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var d Destinations
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return
		}
		if len(d) == 0 {
			t.Error("no destination and no error")
		}
		seen := map[string]bool{}
		for name, v := range d {
			where := v.TopicARN + v.QueueURL
			if (v.TopicARN == "") == (v.QueueURL == "") || v.MaxMessageBytes < 0 || v.MaxMessageBytes > outbox.MaxMessageBytes || !strings.HasSuffix(where, ".fifo") || seen[where] {
				t.Errorf("%q: %+v", name, v)
			}
			seen[where] = true
			e := outbox.Event{AggregateType: "order", AggregateID: "1", Type: "order.placed", Destination: name, Payload: []byte("{}")}
			if err := e.Validate(); err != nil {
				t.Errorf("%q: no event can name it: %v", name, err)
			}
		}
	})
}
