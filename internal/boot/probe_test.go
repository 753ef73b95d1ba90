package boot

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func fakeAWS(tb testing.TB) (*awsfake.Server, *AWS) {
	tb.Helper()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = fake.Close() })
	client := awsclient.HTTPClient(4)
	return fake, &AWS{HTTP: client, Config: aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(fake.URL()), HTTPClient: client,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}}
}

func TestProbeNamesTheDestinationsThatAreBroken(t *testing.T) {
	t.Parallel()
	fake, a := fakeAWS(t)
	made, err := a.SQS("", "").CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("there.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for queue, code := range map[string]string{"closed": "AccessDenied", "late": "SignatureDoesNotMatch", "old": "ExpiredTokenException"} {
		if _, err := fake.AddFault(awsfake.Fault{
			Kind: awsfake.FailCall, Operation: "GetQueueAttributes", Resource: queue + ".fifo", Code: code, SenderFault: true, Status: 403,
		}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	a.Probe(t.Context(), Destinations{
		"there":    {QueueURL: *made.QueueUrl},
		"no_queue": {QueueURL: strings.Replace(*made.QueueUrl, "there", "missing", 1)},
		"no_topic": {TopicARN: "arn:aws:sns:us-east-1:000000000000:missing.fifo", Region: "us-east-1"},
		"closed":   {QueueURL: strings.Replace(*made.QueueUrl, "there", "closed", 1)},
		"late":     {QueueURL: strings.Replace(*made.QueueUrl, "there", "late", 1)},
		"old":      {QueueURL: strings.Replace(*made.QueueUrl, "there", "old", 1)},
	}, (&Process{}).Logger(&out))
	records := out.String()
	for name, want := range map[string]string{
		"no_queue": "does not exist", "no_topic": "does not exist", "closed": "access denied",
		"late": "check the clock", "old": "check the clock",
	} {
		found := false
		for line := range strings.Lines(records) {
			found = found || strings.Contains(line, `"destination":"`+name+`"`) && strings.Contains(line, want)
		}
		if !found {
			t.Errorf("%s: no line with %q in:\n%s", name, want, records)
		}
	}
	if strings.Contains(records, `"destination":"there"`) {
		t.Errorf("a sound destination was reported:\n%s", records)
	}
}

func TestProbeSaysThatADestinationCannotBeReached(t *testing.T) {
	t.Parallel()
	fake, a := fakeAWS(t)
	if err := fake.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a.Probe(t.Context(), Destinations{"d": {QueueURL: "http://x/1/q.fifo"}}, (&Process{}).Logger(&out))
	if !strings.Contains(out.String(), "cannot be reached") {
		t.Errorf("log: %s", out.String())
	}
}
