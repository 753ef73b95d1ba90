//go:build unix

package pgserver

import (
	"context"
	"os"
	"sync"
)

var shared struct { //nolint:gochecknoglobals // One server for all tests of the process.
	mu     sync.Mutex
	server *Server
}

// Shared returns the URL of a server that all tests of the process may use, each in a database of its own:
// $OUTBOX_TEST_DATABASE_URL, else $DATABASE_URL, else a server that the first call starts and that ends with the
// process. The user may create databases and roles. It is safe for concurrent use; a failed start is tried again by
// the next call.
func Shared(ctx context.Context) (string, error) {
	for _, name := range []string{"OUTBOX_TEST_DATABASE_URL", "DATABASE_URL"} {
		if url := os.Getenv(name); url != "" {
			return url, nil
		}
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		s, err := Start(ctx, Config{})
		if err != nil {
			return "", err
		}
		shared.server = s
	}
	return shared.server.URL(), nil
}
