package resources

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func makefileHas(t *testing.T, target string) bool {
	t.Helper()
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(strings.Split(string(makefile), "\n"), func(line string) bool {
		return strings.HasPrefix(line, target+":")
	})
}

// fake returns a configuration for a fake of its own.
func fake(t *testing.T) aws.Config {
	t.Helper()
	server := awsfake.New(awsfake.Config{})
	if err := server.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return config(server.URL())
}

func config(url string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// onEach runs the test on the fake and on LocalStack.
func onEach(t *testing.T, test func(t *testing.T, cfg aws.Config, o Options)) {
	t.Helper()
	stack := "t" + strings.ToLower(rand.Text()[:12])
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		test(t, fake(t), Options{StackName: stack})
	})
	t.Run("LocalStack", func(t *testing.T) {
		t.Parallel()
		url := os.Getenv("OUTBOX_TEST_LOCALSTACK_URL")
		if url == "" {
			t.Skip("needs LocalStack; run with: go run ./localstack/localstack -- go test ./internal/testkit/resources")
		}
		test(t, config(url), Options{StackName: stack})
	})
}

func TestTheTemplateComesUpAndAppliesTwice(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, cfg aws.Config, o Options) {
		t.Helper()
		first, err := Apply(t.Context(), cfg, templatePath, o)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Apply(t.Context(), cfg, templatePath, o)
		if err != nil {
			t.Fatalf("a second Apply: %v", err)
		}
		if !reflect.DeepEqual(first.Resources, second.Resources) {
			t.Errorf("a second Apply gave other resources:\n%v\n%v", first.Resources, second.Resources)
		}
		want := map[string]string{
			"default": first.Resources["EventsTopic"].ARN, "audit": first.Resources["AuditQueue"].ARN,
		}
		if !reflect.DeepEqual(first.Destinations, want) {
			t.Errorf("destinations = %v, want %v", first.Destinations, want)
		}
		for name, arn := range first.Destinations {
			if !strings.HasPrefix(arn, "arn:aws:s") || !strings.HasSuffix(arn, ".fifo") || !strings.Contains(arn, o.StackName) {
				t.Errorf("destination %s = %q", name, arn)
			}
		}
	})
}

func TestQueuesHaveTheAttributesOfTheTemplate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, cfg aws.Config, o Options) {
		t.Helper()
		out, err := Apply(t.Context(), cfg, templatePath, o)
		if err != nil {
			t.Fatal(err)
		}
		got := queueAttributes(t, cfg, out.Resources["BillingQueue"].URL)
		want := map[string]string{
			"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
			"VisibilityTimeout": "60", "MessageRetentionPeriod": "1209600",
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s = %q, want %q", name, got[name], value)
			}
		}
		var redrive struct {
			DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
			MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
		}
		if err := json.Unmarshal([]byte(got["RedrivePolicy"]), &redrive); err != nil {
			t.Fatalf("RedrivePolicy %q: %v", got["RedrivePolicy"], err)
		}
		if redrive.DeadLetterTargetArn != out.Resources["BillingDeadLetters"].ARN ||
			strings.Trim(string(redrive.MaxReceiveCount), `"`) != "5" {
			t.Errorf("RedrivePolicy = %s", got["RedrivePolicy"])
		}
		for _, id := range []string{"BillingQueue", "BillingDeadLetters", "ShippingQueue", "ShippingDeadLetters"} {
			policy := queueAttributes(t, cfg, out.Resources[id].URL)["Policy"]
			if !strings.Contains(policy, out.Resources["EventsTopic"].ARN) || !strings.Contains(policy, "aws:SourceArn") {
				t.Errorf("policy of %s = %q, want it to name the topic as the source", id, policy)
			}
		}
	})
}

func TestWhatIsPublishedReachesEverySubscriberRaw(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, cfg aws.Config, o Options) {
		t.Helper()
		out, err := Apply(t.Context(), cfg, templatePath, o)
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"order": 7}`
		if _, err := sns.NewFromConfig(cfg).Publish(t.Context(), &sns.PublishInput{
			TopicArn: aws.String(out.Destinations["default"]), Message: aws.String(body),
			MessageGroupId: aws.String("order/7"), MessageDeduplicationId: aws.String("e1"),
		}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"BillingQueue", "ShippingQueue"} {
			if got := receive(t, cfg, out.Resources[id].URL); got != body {
				t.Errorf("%s received %q, want the body as it was published", id, got)
			}
		}
	})
}

func TestAChangedTemplateUpdatesTheQueues(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, cfg aws.Config, o Options) {
		t.Helper()
		const template = "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties:\n" +
			"      QueueName: !Sub ${AWS::StackName}.fifo\n      FifoQueue: true\n      VisibilityTimeout: "
		if _, err := Apply(t.Context(), cfg, write(t, template+"30\n"), o); err != nil {
			t.Fatal(err)
		}
		out, err := Apply(t.Context(), cfg, write(t, template+"90\n"), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := queueAttributes(t, cfg, out.Resources["Queue"].URL)["VisibilityTimeout"]; got != "90" {
			t.Errorf("VisibilityTimeout = %s, want 90", got)
		}
	})
}

func TestExistingDestinationsCreateNothing(t *testing.T) {
	t.Parallel()
	out, err := Apply(t.Context(), fake(t), templatePath, Options{Parameters: map[string]string{
		"Destinations": `{"default":"arn:aws:sns:eu-west-1:111122223333:mine.fifo",` +
			`"audit":{"arn":"arn:aws:sqs:eu-west-1:111122223333:mine.fifo","on_reject":"block"}}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Resources) != 0 {
		t.Errorf("created %v", out.Resources)
	}
	want := map[string]string{
		"default": "arn:aws:sns:eu-west-1:111122223333:mine.fifo", "audit": "arn:aws:sqs:eu-west-1:111122223333:mine.fifo",
	}
	if !reflect.DeepEqual(out.Destinations, want) {
		t.Errorf("destinations = %v, want %v", out.Destinations, want)
	}
}

func TestTheEnvironmentOfAFunctionIsTheTemplates(t *testing.T) {
	t.Parallel()
	out, err := Apply(t.Context(), fake(t), templatePath, Options{Parameters: map[string]string{
		"DatabaseUrl": "postgres://somewhere/db", "Relays": "3",
	}})
	if err != nil {
		t.Fatal(err)
	}
	env, err := out.Environment("RelayFunction")
	if err != nil {
		t.Fatal(err)
	}
	if env["OUTBOX_DATABASE_URL"] != "postgres://somewhere/db" || env["OUTBOX_RELAYS"] != "3" {
		t.Errorf("environment = %v, want the parameters in it", env)
	}
	if _, there := env["AWS_ENDPOINT_URL"]; there {
		t.Error("AWS_ENDPOINT_URL is there, though the parameter is empty")
	}
	if _, err := out.Environment("Nobody"); err == nil {
		t.Error("the environment of a function that is not there is no error")
	}
}

func TestWhatIsNotUnderstoodIsRefusedByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, template, want string }{
		{"property", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: q.fifo, Colour: red}}}", "Q: unsupported property Colour of AWS::SQS::Queue"},
		{"type", "Resources: {B: {Type: AWS::Kinesis::Stream}}", "B: unsupported type AWS::Kinesis::Stream"},
		{"function", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Select [0, [a]]}}}", "unsupported function !Select"},
		{"long function", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: {'Fn::Select': [0, [a]]}}}}", "unsupported function Fn::Select"},
		{"reference", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Nobody}}}", "Nobody is not a parameter"},
		{"attribute", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt R.Nothing}}, R: {Type: AWS::SQS::Queue, Properties: {QueueName: r.fifo, FifoQueue: true}}}", "R.Nothing is not supported"},
		{"ignored reference", "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref L}}, L: {Type: AWS::Logs::LogGroup}}", "L is not a parameter"},
		{"condition", "Resources: {Q: {Type: AWS::SQS::Queue, Condition: Nowhere}}", "no condition Nowhere"},
		{"circular condition", "Conditions: {C: !Not [!Condition C]}\nResources: {Q: {Type: AWS::SQS::Queue, Condition: C}}", "condition C depends on itself"},
		{"alias", "Resources: {A: &a {Type: AWS::SQS::Queue}, B: *a}", "aliases are not supported"},
		{"parameter", "Parameters: {P: {Type: String}}\nResources: {}", "parameter P has no value"},
		{
			"cycle",
			"Resources: {A: {Type: AWS::SQS::Queue, DependsOn: B}, B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub '${A.Arn}'}}}",
			"circular dependency: A -> B -> A",
		},
		{"key twice", "Resources: {A: {Type: AWS::SQS::Queue}, A: {Type: AWS::SNS::Topic}}", "A is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Apply(t.Context(), fake(t), write(t, c.template), Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply = %v, want an error with %q", err, c.want)
			}
		})
	}
	t.Run("given parameter", func(t *testing.T) {
		t.Parallel()
		_, err := Apply(t.Context(), fake(t), templatePath, Options{Parameters: map[string]string{"Typo": "x"}})
		if err == nil || !strings.Contains(err.Error(), "no parameter Typo") {
			t.Errorf("Apply = %v, want an error that names the parameter", err)
		}
	})
}

func TestNothingIsCreatedWhenSomethingIsNotUnderstood(t *testing.T) {
	t.Parallel()
	cfg := fake(t)
	_, err := Apply(t.Context(), cfg, write(t, "Resources:\n"+
		"  A: {Type: AWS::SQS::Queue, Properties: {QueueName: a.fifo, FifoQueue: true}}\n"+
		"  B: {Type: AWS::SQS::Queue, Properties: {QueueName: b.fifo, FifoQueue: true, Colour: red}}\n"), Options{})
	if err == nil {
		t.Fatal("the unknown property was accepted")
	}
	if _, err := sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("a.fifo")}); err == nil {
		t.Error("queue a.fifo was created")
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(templatePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("Resources: {A: {Type: B, Properties: {C: !GetAtt D.E}}}"))
	f.Add([]byte("Resources: {A: &a {Type: B, DependsOn: [C]}, D: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		template, err := Parse(data)
		if err != nil {
			return
		}
		r, err := newResolver(template, Options{}, "us-east-1")
		if err != nil {
			return
		}
		// Whatever was parsed can be resolved or refused, and names only
		// resources of the template.
		for id, resource := range template.Resources {
			names, _ := r.references(resource)
			for _, name := range names {
				if _, ok := template.Resources[name]; !ok {
					t.Errorf("%s refers to %s, which is not in the template", id, name)
				}
			}
			if v, err := r.resolve(resource.Properties); err == nil {
				unresolved(t, v)
			}
		}
	})
}

// unresolved fails the test when a mapping or list in v still has AWS::NoValue in it.
func unresolved(t *testing.T, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			if _, none := item.(noValue); none {
				t.Error("a mapping holds no value")
			}
			unresolved(t, item)
		}
	case []any:
		for _, item := range v {
			if _, none := item.(noValue); none {
				t.Error("a list holds no value")
			}
			unresolved(t, item)
		}
	}
}

func write(t *testing.T, template string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func queueAttributes(t *testing.T, cfg aws.Config, url string) map[string]string {
	t.Helper()
	out, err := sqs.NewFromConfig(cfg).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes
}

// receive returns the body of the next message.
func receive(t *testing.T, cfg aws.Config, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		out, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(url), WaitTimeSeconds: 5,
		})
		if err != nil {
			t.Fatalf("receive from %s: %v", url, err)
		}
		if len(out.Messages) > 0 {
			return aws.ToString(out.Messages[0].Body)
		}
	}
}
