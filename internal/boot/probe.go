package boot

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// probeTimeout bounds the probes of all destinations, which run at the same time.
const probeTimeout = 2 * time.Second

// Probe reads the attributes of each destination once, to tell early that a destination is missing or cannot be
// reached. It logs failures and returns no error, because events for the other destinations can be sent all the same.
// It takes probeTimeout at most and needs the permissions sns:GetTopicAttributes and sqs:GetQueueAttributes.
func (a *AWS) Probe(ctx context.Context, destinations Destinations, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var probes sync.WaitGroup
	for name, d := range destinations {
		probes.Go(func() {
			target, err := d.TopicARN, error(nil)
			if d.TopicARN != "" {
				_, err = a.SNS(d.Region).GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &d.TopicARN})
			} else {
				target = d.QueueURL
				_, err = a.SQS(d.Region, d.Endpoint).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
					QueueUrl:       &d.QueueURL,
					AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
				})
			}
			if err != nil {
				level, text := advice(err)
				logger.LogAttrs(ctx, level, "destination check failed",
					slog.String("advice", text), slog.String("destination", name), slog.String("target", target), slog.Any("error", err))
			}
		})
	}
	probes.Wait()
}

// advice returns the level at which err, the error of a probe, is logged, and what to do about it. The level is
// ERROR where the destination does not exist, the request was not authenticated or there was no HTTP answer at all, and WARN where sending may still
// work, such as where the function may send and may not read attributes.
func advice(err error) (slog.Level, string) {
	status := 0
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	switch {
	case status == http.StatusNotFound || code == "NotFound" || code == "QueueDoesNotExist" ||
		code == "AWS.SimpleQueueService.NonExistentQueue":
		return slog.LevelError, "destination does not exist: create it or correct OUTBOX_DESTINATIONS; its events wait"
	case unauthenticated(code):
		return slog.LevelError, "destination could not be checked, the request's signature or its credentials were refused: check the clock of the machine, and that the credentials are those of the function's role and have not expired; its events wait"
	case status == http.StatusForbidden || code == "AccessDenied" || code == "AccessDeniedException":
		return slog.LevelWarn, "destination could not be checked, access denied: allow the function sns:GetTopicAttributes or sqs:GetQueueAttributes, and make sure that it may send"
	case status == 0:
		return slog.LevelError, "destination cannot be reached: check the function's network, and in a VPC its NAT gateway or endpoint for SNS or SQS; its events wait"
	}
	return slog.LevelWarn, "destination could not be checked"
}

// unauthenticated reports whether code is that of a request that was refused before any right was looked at: its
// signature is wrong or too old, or its credentials are unknown or have expired.
func unauthenticated(code string) bool {
	switch strings.TrimSuffix(code, "Exception") {
	case "SignatureDoesNotMatch", "InvalidSignature", "IncompleteSignature", "RequestExpired", "RequestTimeTooSkewed",
		"ExpiredToken", "TokenRefreshRequired", "InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClient",
		"InvalidSecurity", "InvalidSecurityToken", "MissingAuthenticationToken":
		return true
	}
	return false
}
