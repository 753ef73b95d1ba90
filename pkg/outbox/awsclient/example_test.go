package awsclient_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
)

// The client of a sink for up to 128 calls in flight: a connection for each of
// them, and no retries of the SDK's own.
func ExampleBuildable() {
	cfg, err := config.LoadDefaultConfig(context.Background(),
		config.WithRegion("us-east-1"),
		config.WithHTTPClient(awsclient.Buildable(128)),
		config.WithRetryer(awsclient.Retryer),
	)
	if err != nil {
		panic(err)
	}
	client := sqs.NewFromConfig(cfg)

	fmt.Println(client.Options().Retryer.MaxAttempts(), "attempt a call")
	// Output: 1 attempt a call
}
