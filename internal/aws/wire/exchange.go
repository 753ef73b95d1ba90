// Package wire writes the requests and reads the answers of the two batch
// calls in place of the AWS SDK's own steps for that, which cost several times
// as much. All else of a call remains the SDK's: credentials, endpoint,
// signature, retries, and the reading of errors.
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

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Names of steps in the SDK's middleware stack.
const (
	stepSerialize   = "OperationSerializer"
	stepDeserialize = "OperationDeserializer"
	stepSign        = "Signing"
	stepValidate    = "OperationInputValidation"
	stepChecksum    = "SQSValidateMessageChecksum"
)

// largestKept bounds what one pooled buffer holds on to: a batch of ten
// messages of 25 kB.
const largestKept = 256 << 10

// Exchange is one batch call. It is used once.
type Exchange struct {
	// Header is set on the request.
	Header http.Header
	// Encode appends the body of the request.
	Encode func(dst []byte) []byte
	// Decode reads the body of a successful answer. When it returns false, the
	// SDK reads the same body, and its output is the result of the call. It must
	// not keep the body.
	Decode func(body []byte) bool
	// Output is the result of the call when Decode has read the answer.
	Output any
	// Checksums says whether the client was told to compare the checksums of
	// SQS. It is set by Install, which takes that step from the SDK: the SDK's
	// wants the output that Decode replaces.
	Checksums bool

	request, answer *buffer
	// model, when set, learns from the SDK's request.
	model *Direct
	// outcome is what came of the call that was made directly.
	outcome *outcome
	// writing is true while the transport may read the request.
	writing *atomic.Bool
}

// HTTPClient returns what the SDK is to send the request with, when nothing is
// to be sent any more, and client otherwise.
func (x *Exchange) HTTPClient(client HTTPClient) HTTPClient {
	if x.outcome != nil {
		return x.outcome
	}
	return client
}

type buffer struct{ bytes []byte }

//nolint:gochecknoglobals // a pool is of use only when it is shared
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// take returns an empty buffer with an owner: the exchange, until Release.
func take() *buffer {
	b, ok := buffers.Get().(*buffer)
	if !ok {
		return new(buffer)
	}
	b.bytes = b.bytes[:0]
	return b
}

func (b *buffer) release() {
	if b != nil && cap(b.bytes) <= largestKept {
		buffers.Put(b)
	}
}

// Release gives the buffers back. Call it when the call has returned: by then the
// answer has been read. The SDK has closed the request's body, after which the
// transport cannot read from it (smithy-go wraps each body so); the transport
// says by itself when it has written the body of a direct call.
func (x *Exchange) Release() {
	if x.writing == nil || !x.writing.Load() {
		x.request.release()
	}
	x.answer.release()
	x.request, x.answer = nil, nil
}

// Install puts the exchange in the place of the SDK's steps. It is made for one
// of the client's functional options: APIOptions.
func (x *Exchange) Install(stack *middleware.Stack) error {
	if _, err := stack.Serialize.Swap(stepSerialize, serializer{x}); err != nil {
		return err
	}
	d := &deserializer{Exchange: x}
	stock, err := stack.Deserialize.Swap(stepDeserialize, d)
	if err != nil {
		return err
	}
	d.stock = stock
	if x.model != nil && x.outcome == nil {
		if err = stack.Finalize.Insert(watch{x.model}, stepSign, middleware.After); err != nil {
			return err
		}
	}
	// The input holds nothing but the destination, and cannot lack anything.
	if _, ok := stack.Initialize.Get(stepValidate); ok {
		if _, err = stack.Initialize.Remove(stepValidate); err != nil {
			return err
		}
	}
	if _, x.Checksums = stack.Initialize.Get(stepChecksum); x.Checksums {
		_, err = stack.Initialize.Remove(stepChecksum)
	}
	return err
}

type serializer struct{ *Exchange }

// ID implements [middleware.SerializeMiddleware].
func (serializer) ID() string { return stepSerialize }

// HandleSerialize writes the request.
func (s serializer) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	out middleware.SerializeOutput, metadata middleware.Metadata, err error,
) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, metadata, &smithy.SerializationError{Err: fmt.Errorf("unknown transport type %T", in.Request)}
	}
	// A direct call has written it already.
	if s.outcome == nil {
		if s.request == nil {
			s.request = take()
		}
		s.request.bytes = s.Encode(s.request.bytes[:0])
	}
	// Without io.WriterTo, which the SDK's wrapper answers with an error once it has
	// closed the body: net/http would take that for a failed write.
	if request, err = request.SetStream(struct{ io.ReadSeeker }{bytes.NewReader(s.request.bytes)}); err != nil {
		return out, metadata, &smithy.SerializationError{Err: err}
	}
	request.Method = http.MethodPost
	if request.URL.Path == "" {
		request.URL.Path = "/"
	}
	maps.Copy(request.Header, s.Header)
	in.Request = request
	return next.HandleSerialize(ctx, in)
}

type deserializer struct {
	*Exchange
	stock middleware.DeserializeMiddleware
}

// ID implements [middleware.DeserializeMiddleware].
func (*deserializer) ID() string { return stepDeserialize }

// HandleDeserialize reads the answer of a successful call and leaves all others
// to the SDK.
func (d *deserializer) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	out, metadata, err = next.HandleDeserialize(ctx, in)
	leave := func() (middleware.DeserializeOutput, middleware.Metadata, error) {
		return d.stock.HandleDeserialize(ctx, in, received{out, metadata, err})
	}
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || response.StatusCode != http.StatusOK {
		return leave()
	}
	if d.outcome != nil {
		return leave() // Decode has seen it
	}
	d.answer = take()
	if d.answer.bytes, err = readAll(response.Response, d.answer.bytes); err != nil {
		smithyhttp.CloseResponseBody(ctx, response, false, err)
		return out, metadata, &smithy.DeserializationError{Err: err}
	}
	if d.Decode(d.answer.bytes) {
		smithyhttp.CloseResponseBody(ctx, response, false, nil)
		out.Result = d.Output
		return out, metadata, nil
	}
	response.Body = &replayed{Reader: bytes.NewReader(d.answer.bytes), body: response.Body}
	return leave()
}

// received is a handler that hands on what was received before.
type received struct {
	out      middleware.DeserializeOutput
	metadata middleware.Metadata
	err      error
}

// HandleDeserialize implements [middleware.DeserializeHandler].
func (r received) HandleDeserialize(context.Context, middleware.DeserializeInput) (
	out middleware.DeserializeOutput, metadata middleware.Metadata, err error,
) {
	return r.out, r.metadata, r.err
}
