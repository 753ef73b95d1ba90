package s3export_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor/s3export"
)

// bucket answers PutObject and HeadObject as S3 does, checksums included.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	deny    bool
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.deny:
		w.WriteHeader(http.StatusForbidden)
	case r.Method == http.MethodPut:
		content, err := io.ReadAll(r.Body)
		if sum := sha256.Sum256(content); err != nil || r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.objects[r.URL.Path] = content
	case r.Method == http.MethodHead:
		content, ok := b.objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		sum := sha256.Sum256(content)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func target(t *testing.T, b *bucket) *s3export.Target {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return s3export.New(s3.New(s3.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1", UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}), "archive")
}

func TestAnObjectIsStoredAndVerified(t *testing.T) {
	t.Parallel()
	b := &bucket{objects: map[string][]byte{}}
	s := target(t, b)
	content := []byte("events")
	sum := sha256.Sum256(content)
	if err := s.Put(t.Context(), "orders/a.gz", content, sum); err != nil {
		t.Fatal(err)
	}
	if got := string(b.objects["/archive/orders/a.gz"]); got != "events" {
		t.Errorf("stored %q", got)
	}
	if err := s.Verify(t.Context(), "orders/a.gz", int64(len(content)), sum); err != nil {
		t.Error(err)
	}
	if got := s.Location("orders/a.gz"); got != "s3://archive/orders/a.gz" {
		t.Errorf("location %s", got)
	}
}

func TestWhatIsNotTheObjectIsNamedSo(t *testing.T) {
	t.Parallel()
	b := &bucket{objects: map[string][]byte{"/archive/same-size": []byte("EVENTS"), "/archive/longer": []byte("events!")}}
	s := target(t, b)
	sum := sha256.Sum256([]byte("events"))
	for _, key := range []string{"same-size", "longer", "missing"} {
		if err := s.Verify(t.Context(), key, 6, sum); !errors.Is(err, janitor.ErrAltered) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := s.Put(t.Context(), "wrong", []byte("other"), sum); err == nil || errors.Is(err, janitor.ErrAltered) {
		t.Errorf("an object of another sum: %v", err)
	}
	b.deny = true
	if err := s.Verify(t.Context(), "same-size", 6, sum); err == nil || errors.Is(err, janitor.ErrAltered) {
		t.Errorf("denied: %v", err)
	}
}
