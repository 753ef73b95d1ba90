package wire

import (
	"errors"
	"io"
	"net/http"
)

// readAll appends the body of an answer to dst, to its end. It does not close
// the body.
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

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}

// replayed is a body that was read before.
type replayed struct {
	io.Reader
	body io.Closer
}

// Close closes the body that was read.
func (r *replayed) Close() error { return r.body.Close() }
