//go:build unix

package pgserver_test

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

func TestSharedPrefersTheEnvironment(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://b")
	if got, err := pgserver.Shared(t.Context()); err != nil || got != "postgres://b" {
		t.Errorf("Shared() = %q, %v", got, err)
	}
	t.Setenv("OUTBOX_TEST_DATABASE_URL", "postgres://a")
	if got, err := pgserver.Shared(t.Context()); err != nil || got != "postgres://a" {
		t.Errorf("Shared() = %q, %v", got, err)
	}
}

func TestSharedStartsOneServer(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("OUTBOX_TEST_DATABASE_URL", "")
	first, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Errorf("a second server: %s and %s", first, second)
	}
	mustQuery(t, first, "SELECT 'up'")
}
