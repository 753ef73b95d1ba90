package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// readAll reads the body of an answer to its end, and returns dst with the body appended, also when it fails
// midway. It does not close the body.
func readAll(response *http.Response, dst []byte) ([]byte, error) {
	// One byte more than is announced lets the last Read see the end.
	const unknown = 8 << 10
	want := int64(unknown)
	if n := response.ContentLength; n >= 0 && n < largestKept {
		want = n + 1
	}
	dst = grow(dst, int(want))
	for {
		if len(dst) == cap(dst) {
			dst = grow(dst, max(len(dst), unknown))
		}
		n, err := response.Body.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// grow returns b with room for n bytes more, as a copy where b has not got it.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}

// replay returns a body that begins with the bytes in read, which were taken from another body, and then fails
// with err or ends where err is nil. Closing it closes body, the other one.
func replay(read []byte, err error, body io.Closer) io.ReadCloser {
	return replayed{Reader: io.MultiReader(bytes.NewReader(read), failing{err}), Closer: body}
}

// replayed is a body that is read from one value and closed by another.
type replayed struct {
	io.Reader
	io.Closer
}

// failing is a reader that returns err at once, or the end where err is nil.
type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}
