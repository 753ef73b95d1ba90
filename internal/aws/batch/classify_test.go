package batch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "SQS", OperationName: "SendMessageBatch", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      err,
	}}
}

func sent(err error) error {
	return &smithy.OperationError{ServiceID: "SQS", OperationName: "SendMessageBatch", Err: &smithyhttp.RequestSendError{
		Err: &url.Error{Op: "Post", URL: "https://sqs.eu-west-1.amazonaws.com/", Err: err},
	}}
}

func api(code string) error { return &smithy.GenericAPIError{Code: code} }

func TestClassifySortsTheErrorOfAWholeCall(t *testing.T) {
	t.Parallel()
	override := "AWS.SimpleQueueService.NonExistentQueue"
	kms := "KMS.DisabledException"
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, dialTimeout := (&net.Dialer{}).DialContext(expired, "tcp", "127.0.0.1:1")

	cases := map[string]struct {
		err       error
		class     outbox.Class
		divisible bool
	}{
		"throttled, SQS":             {answered(403, &sqstypes.RequestThrottled{}), outbox.Throttled, false},
		"throttled, SNS":             {answered(429, &snstypes.ThrottledException{}), outbox.Throttled, false},
		"throttled, common":          {answered(400, api("ThrottlingException")), outbox.Throttled, false},
		"throttled with a 503":       {answered(503, api("Throttling")), outbox.Throttled, false},
		"throttled by KMS, SQS":      {answered(400, &sqstypes.KmsThrottled{}), outbox.Throttled, false},
		"throttled by KMS, SNS":      {answered(400, &snstypes.KMSThrottlingException{}), outbox.Throttled, false},
		"throttled by a proxy":       {answered(429, io.ErrUnexpectedEOF), outbox.Throttled, false},
		"no queue":                   {answered(400, &sqstypes.QueueDoesNotExist{}), outbox.Unavailable, false},
		"no queue, query code":       {answered(400, &sqstypes.QueueDoesNotExist{ErrorCodeOverride: &override}), outbox.Unavailable, false},
		"no topic":                   {answered(404, &snstypes.NotFoundException{}), outbox.Unavailable, false},
		"access denied":              {answered(403, api("AccessDeniedException")), outbox.Unavailable, false},
		"access denied, query":       {answered(403, api("AccessDenied")), outbox.Unavailable, false},
		"not authorized, SNS":        {answered(403, &snstypes.AuthorizationErrorException{}), outbox.Unavailable, false},
		"invalid security":           {answered(403, &sqstypes.InvalidSecurity{}), outbox.Unavailable, false},
		"token expired":              {answered(403, api("ExpiredTokenException")), outbox.Unavailable, false},
		"token expired, query":       {answered(403, api("ExpiredToken")), outbox.Unavailable, false},
		"unknown key id":             {answered(403, api("InvalidClientTokenId")), outbox.Unavailable, false},
		"unrecognized client":        {answered(400, api("UnrecognizedClientException")), outbox.Unavailable, false},
		"wrong signature":            {answered(403, api("SignatureDoesNotMatch")), outbox.Unavailable, false},
		"clock skew":                 {answered(403, api("InvalidSignatureException")), outbox.Unavailable, false},
		"key disabled, SQS":          {answered(400, &sqstypes.KmsDisabled{}), outbox.Unavailable, false},
		"key disabled, query":        {answered(400, &sqstypes.KmsDisabled{ErrorCodeOverride: &kms}), outbox.Unavailable, false},
		"key refused, SNS":           {answered(400, &snstypes.KMSAccessDeniedException{}), outbox.Unavailable, false},
		"unnamed code with a 403":    {answered(403, api("SomethingNew")), outbox.Unavailable, false},
		"denied by a proxy":          {answered(403, &smithy.DeserializationError{}), outbox.Unavailable, false},
		"proxy wants a password":     {answered(407, &smithy.DeserializationError{}), outbox.Unavailable, false},
		"connection refused":         {sent(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), outbox.Unavailable, false},
		"no route":                   {sent(&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}), outbox.Unavailable, false},
		"dial timeout":               {sent(dialTimeout), outbox.Unavailable, false},
		"no such host":               {sent(&net.DNSError{IsNotFound: true}), outbox.Unavailable, false},
		"wrong certificate":          {sent(&tls.CertificateVerificationError{Err: errors.New("x509")}), outbox.Unavailable, false},
		"no credentials":             {&smithy.OperationError{ServiceID: "SQS", Err: &v4.SigningError{Err: errors.New("empty")}}, outbox.Unavailable, false},
		"assume role fails":          {&smithy.OperationError{ServiceID: "SQS", Err: fmt.Errorf("get identity: %w", &smithy.OperationError{ServiceID: "STS", Err: answered(400, api("ValidationError"))})}, outbox.Unavailable, false},
		"role server times out":      {&smithy.OperationError{ServiceID: "SQS", Err: fmt.Errorf("get identity: %w", sent(context.DeadlineExceeded))}, outbox.Unavailable, false},
		"batch too long, SQS":        {answered(400, &sqstypes.BatchRequestTooLong{}), outbox.Rejected, true},
		"batch too long, SNS":        {answered(400, &snstypes.BatchRequestTooLongException{}), outbox.Rejected, true},
		"invalid parameter, SNS":     {answered(400, &snstypes.InvalidParameterException{}), outbox.Rejected, true},
		"invalid value, SNS":         {answered(400, &snstypes.InvalidParameterValueException{}), outbox.Rejected, true},
		"invalid value, SQS":         {answered(400, api("InvalidParameterValue")), outbox.Rejected, true},
		"invalid contents":           {answered(400, &sqstypes.InvalidMessageContents{}), outbox.Rejected, true},
		"missing parameter":          {answered(400, api("MissingParameter")), outbox.Rejected, true},
		"body too large for a proxy": {answered(413, io.EOF), outbox.Transient, true},
		"body too large for a page":  {answered(413, api("UnknownError")), outbox.Transient, true},
		"body too large for SQS":     {answered(413, api("RequestEntityTooLarge")), outbox.Rejected, true},
		"refused by a page":          {answered(400, &smithy.DeserializationError{}), outbox.Unknown, false},
		"unsent":                     {&UnsentError{sent(io.EOF)}, outbox.Unavailable, false},
		"unsent at the deadline":     {&UnsentError{&smithy.CanceledError{Err: context.DeadlineExceeded}}, outbox.Unavailable, false},
		"unsent and canceled":        {&UnsentError{&smithy.CanceledError{Err: context.Canceled}}, outbox.Unknown, false},
		"unnamed code with a 400":    {answered(400, api("SomethingNew")), outbox.Transient, true},
		"internal error":             {answered(500, api("InternalError")), outbox.Unknown, false},
		"internal failure":           {answered(500, api("InternalFailure")), outbox.Unknown, false},
		"service unavailable":        {answered(503, api("ServiceUnavailable")), outbox.Unknown, false},
		"unnamed code with a 500":    {answered(500, api("SomethingNew")), outbox.Unknown, false},
		"message code with a 500":    {answered(500, api("InvalidParameterValue")), outbox.Unknown, false},
		"server fault":               {answered(400, &smithy.GenericAPIError{Code: "New", Fault: smithy.FaultServer}), outbox.Unknown, false},
		"no code with a 400":         {answered(400, api("UnknownError")), outbox.Unknown, false},
		"bad gateway":                {answered(502, &smithy.DeserializationError{}), outbox.Unknown, false},
		"request timeout":            {answered(408, api("RequestTimeout")), outbox.Unknown, false},
		"truncated body":             {answered(200, &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}), outbox.Unknown, false},
		"reset":                      {sent(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), outbox.Unknown, false},
		"broken pipe":                {sent(&net.OpError{Op: "write", Err: syscall.EPIPE}), outbox.Unknown, false},
		"closed":                     {sent(io.EOF), outbox.Unknown, false},
		"read timeout":               {sent(&net.OpError{Op: "read", Err: context.DeadlineExceeded}), outbox.Unknown, false},
		"deadline":                   {&smithy.CanceledError{Err: context.DeadlineExceeded}, outbox.Unknown, false},
		"canceled":                   {&smithy.CanceledError{Err: context.Canceled}, outbox.Unknown, false},
		"canceled while dialing":     {sent(&net.OpError{Op: "dial", Err: context.Canceled}), outbox.Unknown, false},
		"checksum does not match":    {&smithy.OperationError{ServiceID: "SQS", Err: errors.New("message checksum validation failed")}, outbox.Unknown, false},
		"anything else":              {errors.New("AccessDenied InvalidParameterValue Throttling"), outbox.Unknown, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Classify(c.err)
			if got.Class != c.class || got.Divisible != c.divisible {
				t.Errorf("Classify(%v) = %v, divisible %v; want %v, divisible %v", c.err, got.Class, got.Divisible, c.class, c.divisible)
			}
			if got.Code == "" {
				t.Error("no code")
			}
		})
	}
}

func TestClassifyEntrySortsTheFailureOfOneEntry(t *testing.T) {
	t.Parallel()
	cases := []struct {
		code        string
		senderFault bool
		want        outbox.Class
	}{
		{"InvalidMessageContents", true, outbox.Rejected},
		{"InvalidParameterValue", true, outbox.Rejected},
		{"InvalidParameter", true, outbox.Rejected},
		{"SomethingNew", true, outbox.Rejected},
		{"", true, outbox.Rejected},
		{"RequestThrottled", true, outbox.Throttled},
		{"ThrottlingException", true, outbox.Throttled},
		{"KMS.ThrottlingException", true, outbox.Throttled},
		{"KmsAccessDenied", true, outbox.Unavailable},
		{"KMS.NotFoundException", true, outbox.Unavailable},
		{"AccessDenied", true, outbox.Unavailable},
		{"ExpiredToken", true, outbox.Unavailable},
		{"AWS.SimpleQueueService.NonExistentQueue", true, outbox.Unavailable},
		{"InternalError", true, outbox.Transient},
		{"InternalError", false, outbox.Transient},
		{"ServiceUnavailable", false, outbox.Transient},
		{"SomethingNew", false, outbox.Transient},
		{"InvalidParameterValue", false, outbox.Transient},
		{"", false, outbox.Transient},
		{"Throttling", false, outbox.Throttled},
		{"AccessDeniedException", false, outbox.Unavailable},
	}
	for _, c := range cases {
		if got := ClassifyEntry(c.code, c.senderFault); got != c.want {
			t.Errorf("ClassifyEntry(%q, %v) = %v, want %v", c.code, c.senderFault, got, c.want)
		}
	}
}

func FuzzNoErrorIsAnAcceptance(f *testing.F) {
	f.Add("InternalError", 200, true)
	f.Add("", 0, false)
	f.Fuzz(func(t *testing.T, code string, status int, senderFault bool) {
		for _, err := range []error{answered(status, api(code)), answered(status, io.EOF), sent(errors.New(code)), api(code)} {
			fault := Classify(err)
			if fault.Class == outbox.Accepted {
				t.Errorf("Classify(%v) is an acceptance", err)
			}
			if fault.Class == outbox.Rejected && !fault.Divisible {
				t.Errorf("Classify(%v) condemns the whole batch", err)
			}
		}
		if ClassifyEntry(code, senderFault) == outbox.Accepted {
			t.Errorf("ClassifyEntry(%q, %v) is an acceptance", code, senderFault)
		}
	})
}
