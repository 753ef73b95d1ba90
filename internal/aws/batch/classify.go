package batch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Codes of failures that the broker gave no code for.
const (
	CodeNoAnswer       = "NoAnswer"
	CodeContradiction  = "ContradictoryAnswer"
	CodeCanceled       = "Canceled"
	CodeTimeout        = "Timeout"
	CodeNoConnection   = "NoConnection"
	CodeNotSigned      = "NotSigned"
	CodeUnclear        = "UnclearAnswer"
	CodeMessageTooLong = "MessageTooLong"
	CodeBatchTooLarge  = "BatchTooLarge"
	CodeWithheld       = "Withheld"
)

// Fault is what the failure of a whole call says about its messages.
type Fault struct {
	Class outbox.Class
	Code  string
	// Divisible means that the broker refused the call, accepted nothing of it, and one of its messages may be the
	// reason. A call with several messages is then sent again in halves; Class and Code are for a call with one.
	Divisible bool
}

// kind is what an error code blames for a failure.
type kind int

const (
	kindOther kind = iota
	// kindMessage is a fault of a message, also where the broker does not blame the sender.
	kindMessage
	// kindBatch is a fault of the composition of the request.
	kindBatch
	kindThrottle
	// kindRefused is a fault of the destination, or of the access to it.
	kindRefused
	// kindServer is a failure of the broker.
	kindServer
)

// kindOf returns what the broker's error code is about: one of the SQS and SNS API references (SendMessageBatch,
// PublishBatch) or common to AWS services, with or without the prefix "AWS.SimpleQueueService." and the suffix
// "Exception" (SQS gives some in two forms, depending on the x-amzn-query-error header). Every code that begins with
// KMS, in upper or lower case, is kindThrottle or kindRefused; any other that is not listed is kindOther.
func kindOf(code string) kind {
	code = strings.TrimPrefix(code, "AWS.SimpleQueueService.")
	code = strings.TrimSuffix(code, "Exception")
	if kms, ok := strings.CutPrefix(strings.ToUpper(code), "KMS"); ok {
		// A key that is disabled, deleted or not allowed refuses everything.
		if strings.Contains(kms, "THROTTL") {
			return kindThrottle
		}
		return kindRefused
	}
	switch code {
	case "Throttling", "Throttled", "RequestThrottled", "ThrottledRequest", "RequestThrottling", "TooManyRequests",
		"RequestLimitExceeded", "LimitExceeded", "BandwidthLimitExceeded", "ProvisionedThroughputExceeded",
		"SlowDown", "PriorRequestNotComplete", "OverLimit":
		return kindThrottle
	case "AccessDenied", "AuthorizationError", "NotAuthorized", "Forbidden", "UnauthorizedOperation",
		"InvalidClientTokenId", "UnrecognizedClient", "InvalidAccessKeyId", "MissingAuthenticationToken",
		"InvalidSecurity", "InvalidSecurityToken", "ExpiredToken",
		"TokenRefreshRequired", "SignatureDoesNotMatch", "InvalidSignature",
		"IncompleteSignature", "RequestExpired", "RequestTimeTooSkewed", "AuthFailure", "OptInRequired",
		"SubscriptionRequired", "NotSignedUp", "AccountProblem", "PendingVerification",
		"QueueDoesNotExist", "NonExistentQueue", "QueueDeletedRecently", "NotFound", "ResourceNotFound",
		"NoSuchQueue", "InvalidAddress", "EndpointDisabled", "UnsupportedOperation", "InvalidAction",
		"UnknownOperation", "InvalidHttpRequest":
		return kindRefused
	case "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable",
		"RequestTimeout", "ServiceFailure":
		return kindServer
	case "BatchRequestTooLong", "TooManyEntriesInBatchRequest", "BatchEntryIdsNotDistinct", "EmptyBatchRequest",
		"InvalidBatchEntryId", "RequestEntityTooLarge":
		return kindBatch
	case "InvalidMessageContents", "InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid",
		"InvalidParameterCombination", "MissingParameter", "Validation", "ValidationError",
		"MessageTooLong", "InvalidAttributeValue", "InvalidAttributeName":
		return kindMessage
	}
	return kindOther
}

// ClassifyEntry returns the class of one failed entry in the answer to a call: Throttled, Unavailable or Transient
// for a code about a throttle, the destination or the broker, else Rejected when senderFault is set and Transient
// when not. The code comes first because the broker blames the sender for a throttle and for a refused encryption
// key too, after which the message can be sent later.
func ClassifyEntry(code string, senderFault bool) outbox.Class {
	switch kindOf(code) {
	case kindThrottle:
		return outbox.Throttled
	case kindRefused:
		return outbox.Unavailable
	case kindServer:
		return outbox.Transient
	case kindMessage, kindBatch, kindOther:
	}
	if senderFault {
		return outbox.Rejected
	}
	return outbox.Transient
}

// Classify returns what err, the error of a whole call, says about its messages. An error that does not say for
// certain whether they were accepted is Unknown, so that the same messages are sent again before anything
// newer.
func Classify(err error) Fault {
	if errors.Is(err, context.Canceled) {
		return Fault{Class: outbox.Unknown, Code: CodeCanceled}
	}
	if inOtherCall(err) {
		return Fault{Class: outbox.Unavailable, Code: CodeNotSigned}
	}
	status := 0
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return classifyCode(api, status)
	}
	if status != 0 {
		return classifyStatus(status)
	}
	// Nothing was sent when the connection could not be made. A
	// timeout before that also is context.DeadlineExceeded, so it comes first.
	if neverConnected(err) {
		return Fault{Class: outbox.Unavailable, Code: CodeNoConnection}
	}
	if neverSigned(err) {
		return Fault{Class: outbox.Unavailable, Code: CodeNotSigned}
	}
	if isTimeout(err) {
		return Fault{Class: outbox.Unknown, Code: CodeTimeout}
	}
	return Fault{Class: outbox.Unknown, Code: CodeUnclear}
}

// classifyCode returns the fault of an error with a code of the broker. status is the HTTP status, 0 without an
// answer.
func classifyCode(api smithy.APIError, status int) Fault {
	code := api.ErrorCode()
	kind := kindOf(code)
	switch {
	case kind == kindThrottle:
		return Fault{Class: outbox.Throttled, Code: code}
	case kind == kindRefused:
		return Fault{Class: outbox.Unavailable, Code: code}
	case kind == kindServer || status >= http.StatusInternalServerError || api.ErrorFault() == smithy.FaultServer:
		return Fault{Class: outbox.Unknown, Code: code}
	case kind == kindMessage || kind == kindBatch:
		return Fault{Class: outbox.Rejected, Code: code, Divisible: true}
	}
	fault := classifyStatus(status)
	fault.Code = code
	if status == http.StatusBadRequest && code != "UnknownError" {
		// Refused, with a code that kindOf does not know. That is too little to
		// reject a message, or to call the destination unavailable.
		fault.Class, fault.Divisible = outbox.Transient, true
	}
	return fault
}

// classifyStatus returns the fault that an HTTP status alone tells of, for an answer without a code, as of a proxy
// on the way, or with a code that kindOf does not know. Any status that it has no case for is Unknown.
func classifyStatus(status int) Fault {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired:
		return Fault{Class: outbox.Unavailable, Code: CodeUnclear}
	case http.StatusTooManyRequests:
		return Fault{Class: outbox.Throttled, Code: CodeUnclear}
	case http.StatusRequestEntityTooLarge:
		// Of something on the way, whose limit says nothing about that of the destination.
		return Fault{Class: outbox.Transient, Code: CodeUnclear, Divisible: true}
	}
	return Fault{Class: outbox.Unknown, Code: CodeUnclear}
}

// inOtherCall says whether the call failed on another call to AWS that it needs first, such as AssumeRole for
// its credentials. A code found there says nothing about the messages, and none was sent.
func inOtherCall(err error) bool {
	outer, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return false
	}
	_, nested := errors.AsType[*smithy.OperationError](outer.Err)
	return nested
}

// neverConnected says whether err is a failure to look up the host, to connect to it, or to agree with it on TLS:
// nothing was sent. Without an [UnsentError] only the types of some such failures tell that.
func neverConnected(err error) bool {
	if _, ok := errors.AsType[*UnsentError](err); ok {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "dial"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// neverSigned says whether err is a failure before the request was sent: credentials that could not be had, or
// a request that could not be built.
func neverSigned(err error) bool {
	if _, ok := errors.AsType[*v4.SigningError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*smithy.SerializationError](err); ok {
		return true
	}
	_, ok := errors.AsType[*smithy.InvalidParamsError](err)
	return ok
}

// isTimeout says whether err is that the deadline of the context or a timeout of the connection has passed.
func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
