package pgadmin_test

import (
	"os"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// Every SQL block of the runbook runs.
func TestTheSQLOfTheRunbookRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	pool := outboxtest.DB(t)
	insert(t, pool, "42")
	blocks := 0
	for i, part := range strings.Split(string(text), "```sql\n") {
		if i == 0 {
			continue
		}
		sql, _, closed := strings.Cut(part, "```")
		if !closed {
			t.Fatalf("block %d has no end", i)
		}
		blocks++
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Errorf("%v:\n%s", err, sql)
		}
	}
	if blocks < 10 {
		t.Errorf("%d blocks", blocks)
	}
}
