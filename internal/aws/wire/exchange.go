package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Names of steps in the SDK's middleware stack.
const (
	stepSerialize   = "OperationSerializer"
	stepDeserialize = "OperationDeserializer"
	stepSign        = "Signing"
	stepValidate    = "OperationInputValidation"
	stepChecksum    = "SQSValidateMessageChecksum"
)

// Codec writes the requests and reads the answers of one batch operation and one
// destination. It is safe for concurrent use.
type Codec interface {
	// Header returns the header fields of the operation, such as Content-Type.
	Header() http.Header
	// AppendRequest returns dst with the body of the request that sends msgs appended. Entry i has the id
	// batch.EntryID(i).
	AppendRequest(dst []byte, msgs []outbox.Message) []byte
	// ReadAnswer reads the body of a successful answer and adds its entries to into. It returns false where the
	// body is in any but the plain form in which the service writes it: then the SDK reads the same body, and
	// what is in into does not count. The entries refer to body.
	ReadAnswer(body []byte, into *Entries) bool
}

// Exchange is one batch call. It is used once, by one goroutine, and has to be released at the end.
type Exchange struct {
	// Codec writes the request and reads the answer. Messages are what is sent, at most batch.MaxEntries. Both
	// are required, as the other two fields are.
	Codec    Codec
	Messages []outbox.Message
	// Answers takes the entries that the codec reads.
	Answers *batch.Answers
	// Output is what the SDK's call returns when the codec has read the answer: an empty value of the SDK's own
	// type of output, which the SDK writes metadata into.
	Output any

	// checksums says whether the client compares the checksums of SQS.
	checksums bool
	// fault is the error of the first checksum that differs, in an answer that the codec has read.
	fault error

	// request and answer are buffers with the bodies of the two, each nil until it is needed.
	request, answer *buffer
	// stock is the SDK's step that reads the answer, which install replaces by deserialize. It is nil before that.
	stock middleware.DeserializeMiddleware
	// direct is the Direct that Call was called on, nil without one. It makes its model from the request that the
	// SDK signs in this call, unless it has sent the request itself.
	direct *Direct
	// outcome is what came of the request that Direct has sent, nil when it sent none or the codec has read the
	// answer.
	outcome *outcome
	// writing is true while the transport may read the request of a direct call, nil when no direct request was
	// made.
	writing *atomic.Bool
}

// Fault returns the error of the first checksum that differs, in an answer that the codec has read. It is nil when
// all agree, and when the codec has not read the answer.
func (x *Exchange) Fault() error { return x.fault }

// HTTPClient returns the client that the SDK is to send the request with: the given one, or, where Direct has
// sent the request already, one that sends nothing and returns the answer or error that Direct got.
func (x *Exchange) HTTPClient(client aws.HTTPClient) aws.HTTPClient {
	if x.outcome != nil {
		return x.outcome
	}
	return client
}

// APIOptions returns a copy of options, those of the SDK's client, with install added.
func (x *Exchange) APIOptions(options []func(*middleware.Stack) error) []func(*middleware.Stack) error {
	return append(options[:len(options):len(options)], x.install)
}

// encode has the codec write the request into the buffer of x for it.
func (x *Exchange) encode() {
	if x.request == nil {
		x.request = take()
	}
	x.request.bytes = x.Codec.AppendRequest(x.request.bytes[:0], x.Messages)
}

// decode has the codec read the answer, and returns false, with Answers unchanged, when it cannot. It adds the
// entries to Answers unless a checksum differs: then it sets the fault.
func (x *Exchange) decode() bool {
	entries := &x.answer.entries
	entries.n = 0
	if !x.Codec.ReadAnswer(x.answer.bytes, entries) {
		return false
	}
	if x.fault = x.checkAll(entries.All()); x.fault == nil {
		entries.addTo(x.Answers)
	}
	return true
}

// largestKept is the most bytes that a pooled buffer keeps: a batch of ten messages of 25 kB.
const largestKept = 256 << 10

// buffer is the body of a request or an answer, from a pool.
type buffer struct {
	bytes []byte
	// entries are those of an answer. They refer to bytes.
	entries Entries
}

//nolint:gochecknoglobals // a pool is of use only when it is shared
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// take returns an empty buffer from the pool.
func take() *buffer {
	b, ok := buffers.Get().(*buffer)
	if !ok {
		return new(buffer)
	}
	b.bytes = b.bytes[:0]
	return b
}

// release gives the buffer to the pool, unless it has more than largestKept bytes. It does nothing for nil.
func (b *buffer) release() {
	if b != nil && cap(b.bytes) <= largestKept {
		buffers.Put(b)
	}
}

// Release gives the buffers to the pool, at the end of the call. The transport does not read the request of an SDK's
// call after that: the SDK has closed its body, and smithy-go refuses to read a closed one. It may still read the
// request of a direct call until it reports that as written: before, that buffer does not go to the pool.
func (x *Exchange) Release() {
	if x.writing == nil || !x.writing.Load() {
		x.request.release()
	}
	x.answer.release()
	x.request, x.answer = nil, nil
}

// install replaces the SDK's steps that write the request and read the answer by those of the exchange, removes the
// steps that need the entries in the input, and, unless a direct call has sent the request, adds the step that makes
// the model of x.direct. It fails when the stack lacks a step that it replaces, or the one that signs.
func (x *Exchange) install(stack *middleware.Stack) error {
	serialize := middleware.SerializeMiddlewareFunc(stepSerialize, x.serialize)
	deserialize := middleware.DeserializeMiddlewareFunc(stepDeserialize, x.deserialize)
	_, err := stack.Serialize.Swap(stepSerialize, serialize)
	if err != nil {
		return err
	}
	if x.stock, err = stack.Deserialize.Swap(stepDeserialize, deserialize); err != nil {
		return err
	}
	if x.direct != nil && x.outcome == nil {
		learner := middleware.FinalizeMiddlewareFunc("OutboxModel", x.direct.learnFrom)
		if err = stack.Finalize.Insert(learner, stepSign, middleware.After); err != nil {
			return err
		}
	}
	// The input has the destination and nothing else, and cannot lack anything.
	if _, ok := stack.Initialize.Get(stepValidate); ok {
		if _, err = stack.Initialize.Remove(stepValidate); err != nil {
			return err
		}
	}
	// The SDK's step compares checksums with an input that has no entries here.
	if _, x.checksums = stack.Initialize.Get(stepChecksum); x.checksums {
		_, err = stack.Initialize.Remove(stepChecksum)
	}
	return err
}

// serialize is the step that writes the request, unless a direct call has sent it.
func (x *Exchange) serialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	out middleware.SerializeOutput, metadata middleware.Metadata, err error,
) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, metadata, &smithy.SerializationError{Err: fmt.Errorf("unknown transport type %T", in.Request)}
	}
	// The transport may still read the request of a direct call.
	if x.outcome == nil {
		x.encode()
	}
	// Without io.WriterTo, which the SDK's wrapper answers with an error once it has
	// closed the body: net/http would take that for a failed write.
	if request, err = request.SetStream(struct{ io.ReadSeeker }{bytes.NewReader(x.request.bytes)}); err != nil {
		return out, metadata, &smithy.SerializationError{Err: err}
	}
	request.Method = http.MethodPost
	if request.URL.Path == "" {
		request.URL.Path = "/"
	}
	maps.Copy(request.Header, x.Codec.Header())
	in.Request = request
	return next.HandleSerialize(ctx, in)
}

// deserialize is the step that reads the answer. The codec reads that of a successful call; the SDK's step, x.stock,
// reads all others, and what the codec cannot read.
func (x *Exchange) deserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	received := func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return out, metadata, err
	}
	response, ok := out.RawResponse.(*smithyhttp.Response)
	// What came of a direct call is here only when the codec could not read it.
	if err != nil || !ok || response.StatusCode != http.StatusOK || x.outcome != nil {
		return x.stock.HandleDeserialize(ctx, in, middleware.DeserializeHandlerFunc(received))
	}
	x.answer = take()
	if x.answer.bytes, err = readAll(response.Response, x.answer.bytes); err != nil {
		smithyhttp.CloseResponseBody(ctx, response, false, err)
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	if x.decode() {
		smithyhttp.CloseResponseBody(ctx, response, false, nil)
		out.Result = x.Output
		return out, metadata, nil
	}
	response.Body = replay(x.answer.bytes, nil, response.Body)
	return x.stock.HandleDeserialize(ctx, in, middleware.DeserializeHandlerFunc(received))
}
