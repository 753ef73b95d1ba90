// Package awswire writes the requests and reads the answers of the two batch
// calls in place of the AWS SDK's own steps for that, which cost several times
// as much. All else of a call remains the SDK's: credentials, endpoint,
// signature, retries, and the reading of errors.
package awswire

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Names of steps in the SDK's middleware stack.
const (
	stepSerialize   = "OperationSerializer"
	stepDeserialize = "OperationDeserializer"
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

// Release gives the buffers back. Call it when the SDK's call has returned: by
// then the SDK has closed the request's body, after which the transport cannot
// read from it (smithy-go wraps each body so), and the answer has been read.
func (x *Exchange) Release() {
	x.request.release()
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
	if s.request == nil {
		s.request = take()
	}
	s.request.bytes = s.Encode(s.request.bytes[:0])
	if request, err = request.SetStream(bytes.NewReader(s.request.bytes)); err != nil {
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
