package boot

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/queueurl"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

// AWS is the configuration and the HTTP client with which the functions make clients of AWS services.
type AWS struct {
	// Config is the SDK's configuration. Clients made of it retry as the SDK does by default; those that the methods
	// SQS and SNS return do not retry.
	Config aws.Config
	// HTTP is the HTTP client of Config, which all clients of AWS services share.
	HTTP *http.Client
}

// LoadAWS reads region, credentials and endpoints from the environment and files that all AWS tools read.
// connections is how many calls may be in flight to one host. It calls no AWS service.
func LoadAWS(ctx context.Context, connections int) (*AWS, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(awsclient.Buildable(connections)))
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	built, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		return nil, fmt.Errorf("load AWS configuration: the HTTP client is a %T", cfg.HTTPClient)
	}
	client := awsclient.Fixed(built)
	cfg.HTTPClient = client
	return &AWS{Config: cfg, HTTP: client}, nil
}

// SQS returns a client for queues in region that does not retry. An empty region is the function's own. The client
// calls endpoint, a scheme and a host, or the usual endpoint of the region when endpoint is empty. Where a variable such
// as AWS_ENDPOINT_URL sets an endpoint, it calls that one.
func (a *AWS) SQS(region, endpoint string) *sqs.Client {
	return sqs.NewFromConfig(a.Config, func(o *sqs.Options) {
		o.Retryer = awsclient.Retryer()
		if region != "" {
			o.Region = region
		}
		if endpoint == "" || o.BaseEndpoint != nil {
			return
		}
		o.BaseEndpoint = &endpoint
		// The SDK refuses an endpoint of its caller's together with these settings. Where FIPS is wanted, and endpoint is
		// not one, it has to.
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateDisabled
		if queueurl.FIPS(endpoint) {
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateDisabled
		}
	})
}

// SNS returns a client for topics in region that does not retry. An empty region is the function's own.
func (a *AWS) SNS(region string) *sns.Client {
	return sns.NewFromConfig(a.Config, func(o *sns.Options) {
		o.Retryer = awsclient.Retryer()
		if region != "" {
			o.Region = region
		}
	})
}

// Sinks makes the sink of each destination, by the destination's name, and calls no AWS service. With sdkCodec
// the AWS SDK encodes the requests and decodes the answers, else internal/aws/wire does. The error names every
// destination whose sink cannot be made.
func (a *AWS) Sinks(destinations Destinations, sdkCodec bool) (map[string]relay.Destination, error) {
	made := make(map[string]relay.Destination, len(destinations))
	var faults []error
	for name, d := range destinations {
		sink, err := a.sink(d, sdkCodec)
		if err != nil {
			faults = append(faults, fmt.Errorf("OUTBOX_DESTINATIONS: %q: %w", name, err))
			continue
		}
		made[name] = relay.Destination{Sink: sink, OnReject: d.OnReject, Encoder: outbox.Encoder{HeaderAttributes: d.HeaderAttributes}}
	}
	return made, errors.Join(faults...)
}

func (a *AWS) sink(d Destination, sdkCodec bool) (outbox.Sink, error) {
	if d.TopicARN != "" {
		return snssink.New(a.SNS(d.Region), snssink.Config{TopicARN: d.TopicARN, MaxMessageBytes: d.MaxMessageBytes, SDKCodec: sdkCodec})
	}
	return sqssink.New(a.SQS(d.Region, d.Endpoint), sqssink.Config{QueueURL: d.QueueURL, MaxMessageBytes: d.MaxMessageBytes, SDKCodec: sdkCodec})
}
