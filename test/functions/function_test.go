//go:build unix

// Package functions_test tests the compiled functions, as they are deployed.
package functions_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// programs compiles each function once. One that is missing here fails
// TestNoFunctionWritesSecretsOrPayloads.
var programs = map[string]func() (rig.Program, error){
	"relay": compiled("relay"), "janitor": compiled("janitor"), "dlq-redrive": compiled("dlq-redrive"),
}

func compiled(name string) func() (rig.Program, error) {
	return sync.OnceValues(func() (rig.Program, error) { return rig.Build(context.Background(), "functions/"+name) })
}

// function returns the function, with env in its environment, and what it writes. The
// environment has credentials unless env has others.
func function(t *testing.T, name string, timeout time.Duration, env map[string]string) (*lambdahost.Function, *transcript) {
	t.Helper()
	program, err := programs[name]()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	maps.Copy(all, env)
	var output transcript
	f, err := lambdahost.New(lambdahost.Config{
		Name: name, Binary: program.Binary, Timeout: timeout, InitTimeout: time.Minute, Memory: 512, Env: all, Output: output.add,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f, &output
}

// broker starts the AWS fake.
func broker(t *testing.T, c awsfake.Config) *awsfake.Server {
	t.Helper()
	fake := awsfake.New(c)
	if err := fake.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	return fake
}

// queue makes a FIFO queue, with further attributes, and returns its URL.
func queue(t *testing.T, fake *awsfake.Server, name string, attributes map[string]string) string {
	t.Helper()
	all := map[string]string{"FifoQueue": "true"}
	maps.Copy(all, attributes)
	made, err := client(fake).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: all})
	if err != nil {
		t.Fatal(err)
	}
	return *made.QueueUrl
}

func client(fake *awsfake.Server) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(fake.URL()), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// A function that cannot reach what it needs says so in its answer and its log, without
// the password.
func TestFunctionsNameWhatIsWrongWithTheDatabase(t *testing.T) {
	t.Parallel()
	const destinations = `{"default":"http://127.0.0.1:1/000000000000/orders.fifo"}`
	for name, env := range map[string]map[string]string{
		"relay":   {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "OUTBOX_DESTINATIONS": destinations},
		"janitor": {},
	} {
		for want, url := range map[string]string{
			"OUTBOX_DATABASE_URL": "",
			"cannot be reached":   "postgres://user:hush@127.0.0.1:1/app",
			"outbox migrate":      outboxtest.URL(t, outboxtest.Unmigrated()),
		} {
			t.Run(name+"/"+want, func(t *testing.T) {
				t.Parallel()
				with := maps.Clone(env)
				with["OUTBOX_DATABASE_URL"] = url
				f, output := function(t, name, 30*time.Second, with)
				_, err := f.Invoke(t.Context(), []byte(`{}`))
				if err == nil || !strings.Contains(err.Error(), want) || !output.writes(want) {
					t.Errorf("error %v, want one with %q\n%s", err, want, output)
				}
				if err != nil && strings.Contains(err.Error()+output.String(), "hush") {
					t.Errorf("the password is shown: %v\n%s", err, output)
				}
			})
		}
	}
}
