package wire

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
)

// readAll reads the body of an answer to its end, and returns dst with the body appended, also when it fails
// midway. It does not close the body.
func readAll(response *http.Response, dst []byte) ([]byte, error) {
	want := 8 << 10
	if n := response.ContentLength; n >= 0 && n < largestKept {
		want = int(n)
	}
	buffer := bytes.NewBuffer(dst)
	// The buffer needs this much room even to see the end.
	buffer.Grow(want + bytes.MinRead)
	_, err := buffer.ReadFrom(response.Body)
	return buffer.Bytes(), err
}

// replay returns a body that begins with the bytes in read, which were taken from another body, and then fails with
// err, or ends when err is nil. Closing it closes body, the other one.
func replay(read []byte, err error, body io.Closer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(read), failing{cmp.Or(err, io.EOF)}), body}
}

// failing is a reader that has no bytes and returns err.
type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) { return 0, f.err }
