package awsfake

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

// maxRequest is the most bytes of a request body: a full batch in form encoding takes less. A longer body is refused
// with the status 400, and one in gzip that unpacks to more is cut off there.
const maxRequest = 8 << 20

// answer is an HTTP answer before it is written, so that a fault can lose it.
type answer struct {
	status     int
	mediaType  string
	queryError string // of the header X-Amzn-Query-Error, "" for none
	body       []byte
	lose       LossMode // "" when the answer is not lost
	drop       bool     // the connection is closed without an answer
}

// countCall adds a request for the operation to what Calls returns.
func (s *Server) countCall(operation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
}

// Calls returns how many requests came in for each operation since the start, by its name in the API, such as
// "SendMessageBatch".
func (s *Server) Calls() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_fake/") {
		s.admin(w, r)
		return
	}
	body, err := readBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.write(w, r, s.route(r, body))
}

func readBody(r *http.Request) (string, error) {
	var in io.Reader = http.MaxBytesReader(nil, r.Body, maxRequest)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return "", errors.New("bad gzip")
		}
		in = io.LimitReader(z, maxRequest)
	}
	var sb strings.Builder
	if n := r.ContentLength; n > 0 && n <= maxRequest {
		sb.Grow(int(n))
	}
	if _, err := io.Copy(&sb, in); err != nil {
		return "", errors.New("body cannot be read")
	}
	return sb.String(), nil
}

// route carries out a request of any service and returns its answer. A request of a JSON protocol names its operation
// in the header X-Amz-Target, one of the Query protocol in the form field Action.
func (s *Server) route(r *http.Request, body string) answer {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		service, operation, _ := strings.Cut(target, ".")
		s.countCall(operation)
		switch service {
		case "AmazonSQS":
			return s.sqs(r.Context(), operation, body)
		case "secretsmanager":
			return s.secretsManager(operation, body)
		}
		return jsonError(fakebroker.Fault("InvalidAction", "com.amazon.coral.service#UnknownOperationException", "%s is not a service of this fake", service))
	}
	query := body
	if query == "" {
		query = r.URL.RawQuery
	}
	form, err := fakewire.DecodeForm(query)
	if err != nil {
		return xmlError(snsFault("MalformedQueryString", err.Error()))
	}
	operation := form["Action"]
	s.countCall(operation)
	switch operation {
	case "":
		return answer{status: http.StatusNotFound, mediaType: "text/plain", body: []byte("This is a fake of SNS and SQS. See /_fake/health.\n")}
	case "GetCallerIdentity":
		return s.callerIdentity()
	}
	return s.sns(r.Context(), operation, form)
}

// plan is what the planned faults do to one request.
type plan struct {
	// delay is how long the request waits before it is carried out.
	delay time.Duration
	// call is the first fault of the whole request (FailCall, LoseResponse or DropConnection), nil when there is none.
	call *Fault
	// entries has the first fault of each entry that has one, by index in the batch from 0.
	entries map[int]*Fault
}

// before waits for the plan's delay, and returns true with the answer when FailCall or DropConnection prevents the
// request. fail makes an answer of an error, in the protocol of the request.
func (s *Server) before(ctx context.Context, p plan, fail func(error) answer) (answer, bool) {
	s.pause(ctx, p.delay)
	if p.call == nil {
		return answer{}, false
	}
	if p.call.Kind == FailCall {
		return fail(p.call.brokerError()), true
	}
	drop := p.call.Kind == DropConnection
	return answer{drop: drop}, drop
}

// after returns the answer a, marked as lost when the fault of the request is LoseResponse.
func (p plan) after(a answer) answer {
	if p.call != nil && p.call.Kind == LoseResponse {
		a.lose = p.call.Mode
		if a.lose == "" {
			a.lose = LossClose
		}
	}
	return a
}

func (f *Fault) brokerError() *fakebroker.Error {
	e := &fakebroker.Error{Code: f.Code, Message: f.Message, Status: f.Status, Sender: f.SenderFault}
	if e.Code == "" {
		e.Code = "InternalError"
	}
	if e.Message == "" {
		e.Message = "planned fault"
	}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
		if e.Sender {
			e.Status = http.StatusBadRequest
		}
	}
	e.Type = "com.amazonaws.sqs#" + e.Code[strings.LastIndexByte(e.Code, '.')+1:]
	return e
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, a answer) {
	switch {
	case a.drop, a.lose == LossClose:
		panic(http.ErrAbortHandler)
	case a.lose == LossReset:
		resetConnection(w)
		return
	case a.lose == LossHang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Amzn-Requestid", requestID)
	if a.queryError != "" {
		h.Set("X-Amzn-Query-Error", a.queryError)
	}
	w.WriteHeader(a.status)
	if a.lose == LossTruncate {
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = io.Copy(w, bytes.NewReader(a.body))
}

// requestID is the same for every answer: nothing here is looked up by it.
const requestID = "00000000-0000-4000-8000-000000000000"

func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
