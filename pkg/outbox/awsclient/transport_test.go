package awsclient_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
)

// slowWriter is a connection whose second write, that of a request's body,
// returns only when the first part of the answer has been read and more of it
// is asked for. By then the SDK has closed the body.
type slowWriter struct {
	net.Conn
	writes, reads atomic.Int32
	readsOn       chan struct{}
}

func (c *slowWriter) Read(p []byte) (int, error) {
	if c.reads.Add(1) == 2 {
		close(c.readsOn)
	}
	return c.Conn.Read(p)
}

func (c *slowWriter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.writes.Add(1) == 2 {
		select {
		case <-c.readsOn:
		case <-time.After(10 * time.Second):
		}
	}
	return n, err
}

// An answer may begin while the transport is still at the end of the request's
// body, which the SDK closes then. That must not close the connection.
func TestAnAnswerThatOvertakesTheEndOfTheRequestIsRead(t *testing.T) {
	t.Parallel()
	const answer = `{"Messages":[{"MessageId":"m","Body":"b"}]}`
	written := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = io.WriteString(w, answer[:10])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-written:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, answer[10:])
	}))
	defer server.Close()
	client := awsclient.Fixed(awsclient.Buildable(1).WithTransportOptions(func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return &slowWriter{Conn: c, readsOn: make(chan struct{})}, err
		}
	}))
	defer client.CloseIdleConnections()
	var once sync.Once
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err != nil {
			t.Errorf("the request was written with the error %v", info.Err)
		}
		once.Do(func() { close(written) })
	}})
	queues := sqs.New(sqs.Options{
		BaseEndpoint: &server.URL, Region: "eu-west-1", HTTPClient: client, Retryer: awsclient.Retryer(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	out, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(server.URL + "/000000000000/orders.fifo")})
	if err != nil || len(out.Messages) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
