// Command resources creates the topic, queues and subscriptions of template.yaml on an
// endpoint and prints what it created as JSON.
//
//	go run ./localstack/resources -endpoint http://127.0.0.1:4566
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
)

func main() {
	endpoint := flag.String("endpoint", "http://127.0.0.1:4566", "`URL` of the emulator")
	region := flag.String("region", "us-east-1", "`region` that ARNs name")
	template := flag.String("template", "template.yaml", "`path` of the template")
	stack := flag.String("stack", "outbox", "`name` of the stack, the beginning of all names")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := aws.Config{
		Region: *region, BaseEndpoint: endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	out, err := resources.Apply(ctx, cfg, *template, resources.Options{StackName: *stack})
	if err != nil {
		fmt.Fprintln(os.Stderr, "resources:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, "resources:", err)
	}
}
