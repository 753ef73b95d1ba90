package queueurl_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/queueurl"
)

const path = "/123456789012/orders.fifo"

func TestTheHostOfAQueueURLDecidesRegionAndEndpoint(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]struct{ region, endpoint string }{
		"https://sqs.eu-west-1.amazonaws.com":                                 {"eu-west-1", ""},
		"https://sqs.us-gov-west-1.amazonaws.com":                             {"us-gov-west-1", ""},
		"https://sqs.cn-north-1.amazonaws.com.cn":                             {"cn-north-1", ""},
		"https://sqs.eusc-de-east-1.amazonaws.eu":                             {"eusc-de-east-1", ""},
		"https://sqs-fips.us-east-2.amazonaws.com":                            {"us-east-2", "https://sqs-fips.us-east-2.amazonaws.com"},
		"https://sqs.eu-west-1.api.aws":                                       {"eu-west-1", "https://sqs.eu-west-1.api.aws"},
		"https://sqs-fips.us-west-2.api.aws":                                  {"us-west-2", "https://sqs-fips.us-west-2.api.aws"},
		"https://sqs.cn-north-1.api.amazonwebservices.com.cn":                 {"cn-north-1", "https://sqs.cn-north-1.api.amazonwebservices.com.cn"},
		"https://vpce-0ab12-cd34.sqs.us-east-1.vpce.amazonaws.com":            {"us-east-1", "https://vpce-0ab12-cd34.sqs.us-east-1.vpce.amazonaws.com"},
		"https://vpce-0ab12-cd34-us-east-1a.sqs.us-east-1.vpce.amazonaws.com": {"us-east-1", "https://vpce-0ab12-cd34-us-east-1a.sqs.us-east-1.vpce.amazonaws.com"},
		"https://vpce-0ab12.sqs-fips.us-east-1.vpce.amazonaws.com":            {"us-east-1", "https://vpce-0ab12.sqs-fips.us-east-1.vpce.amazonaws.com"},
		"https://us-west-2.queue.amazonaws.com":                               {"us-west-2", ""},
		"https://queue.amazonaws.com":                                         {"us-east-1", ""},
		"https://cn-north-1.queue.amazonaws.com.cn":                           {"cn-north-1", ""},
		"http://localhost:4566":                                               {"", "http://localhost:4566"},
		"http://[::1]:4566":                                                   {"", "http://[::1]:4566"},
		"http://sqs.us-east-1.localhost.localstack.cloud:4566":                {"us-east-1", "http://sqs.us-east-1.localhost.localstack.cloud:4566"},
		"https://queue.internal.example":                                      {"", "https://queue.internal.example"},
	} {
		q, err := queueurl.Parse(host + path)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if q.Region != want.region || q.Endpoint != want.endpoint || q.Account != "123456789012" || q.Name != "orders.fifo" {
			t.Errorf("%s: got %+v, want %+v", host, q, want)
		}
		if queueurl.FIPS(q.Endpoint) != strings.Contains(want.endpoint, "fips") {
			t.Errorf("%s: FIPS is %v", host, queueurl.FIPS(q.Endpoint))
		}
	}
}

func TestTheFirstNamesOfAnEndpointBecomeItsUsualOne(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"https://us-west-2.queue.amazonaws.com":     "https://sqs.us-west-2.amazonaws.com",
		"https://queue.amazonaws.com":               "https://sqs.us-east-1.amazonaws.com",
		"https://cn-north-1.queue.amazonaws.com.cn": "https://sqs.cn-north-1.amazonaws.com.cn",
	} {
		if q, err := queueurl.Parse(host + path); err != nil || q.URL != want+path {
			t.Errorf("%s: got %q, error %v", host, q.URL, err)
		}
	}
}

func TestURLsOfNoQueueAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sqs.eu-west-1.amazonaws.com" + path:                             "is not a URL",
		"https://" + path:                                                "is not a URL",
		"https://:443" + path:                                            "is not a URL",
		"https://sqs.eu-west-1.amazonaws.com":                            "no name",
		"http://localhost:4566/":                                         "no name",
		"https://sqs.eu-west-1.amazonaws.com/orders.fifo":                "12 digits",
		"https://sqs.eu-west-1.amazonaws.com/12345/orders.fifo":          "12 digits",
		"https://sqs.eu-west-1.amazonaws.com/x" + path:                   "12 digits",
		"https://sqs.eu-west-1.amazonaws.com" + path + "?Action=Send":    "behind the path",
		"https://sqs.eu-west-1.amazonaws.com" + path + "?":               "behind the path",
		"https://sqs.eu-west-1.amazonaws.com" + path + "#a":              "behind the path",
		"https://sqs.eu-west-1.amazonaws.com" + path + "#":               "behind the path",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/%6Frders.fifo": "escaped",
		"https://key:hush-9f2c@sqs.eu-west-1.amazonaws.com" + path:       "password",
		"http://hush-9f2c@localhost:4566" + path:                         "password",
		"https://SQS.EU-WEST-1.amazonaws.com" + path:                     "lower case",
		"http://sqs.eu-west-1.amazonaws.com" + path:                      "https://",
		"https://sqs.eu-west-1.amazonaws.com:8443" + path:                "no port",
		"https://sqs.eu-west-1.amazonaws.com." + path:                    "not known",
		"https://sns.eu-west-1.amazonaws.com" + path:                     "not known",
		"https://sqs.eu-west.amazonaws.com" + path:                       "not known",
		"https://sqs.amazonaws.com" + path:                               "not known",
		"https://vpce-0ab12.sqs.eu-west-1.amazonaws.com" + path:          "not known",
		"https://sqs.eu-west-1.vpce.amazonaws.com" + path:                "not known",
		"https://queue.api.aws" + path:                                   "not known",
		"https://queue.amazonaws.com.cn" + path:                          "not known",
	} {
		_, err := queueurl.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush-9f2c") {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

func TestAnARNHasTheURLOfItsPartition(t *testing.T) {
	t.Parallel()
	for partition, want := range map[string]string{
		"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu",
	} {
		q, err := queueurl.OfARN(&arn.ARN{Partition: partition, Service: "sqs", Region: "xx-west-1", AccountID: "123456789012", Resource: "orders.fifo"})
		if err != nil || q.URL != "https://sqs.xx-west-1."+want+path || q.Endpoint != "" {
			t.Errorf("%s: %+v, error %v", partition, q, err)
		}
	}
	if _, err := queueurl.OfARN(&arn.ARN{Partition: "aws-moon", Region: "xx-west-1", AccountID: "123456789012"}); err == nil {
		t.Error("an unknown partition has a URL")
	}
}

// What is taken names a queue, is called at a host that the text names, and is read again as the same queue.
func FuzzParse(f *testing.F) {
	f.Add("https://sqs.eu-west-1.amazonaws.com" + path)
	f.Add("https://vpce-0ab12.sqs-fips.us-east-1.vpce.amazonaws.com" + path)
	f.Add("https://queue.amazonaws.com" + path)
	f.Add("http://user:hush@[::1]:4566/q.fifo?x#y")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := queueurl.Parse(text)
		if err != nil {
			return
		}
		if q.Name == "" || strings.ContainsAny(q.URL, "@?#") || q.Endpoint != "" && !strings.HasPrefix(text, q.Endpoint) || q.Endpoint == "" && q.Region == "" {
			t.Errorf("%q: %+v", text, q)
		}
		if again, err := queueurl.Parse(q.URL); err != nil || again != q {
			t.Errorf("%q: %+v is read again as %+v, error %v", text, q, again, err)
		}
	})
}
