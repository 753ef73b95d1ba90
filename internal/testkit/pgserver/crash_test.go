//go:build unix

package pgserver_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

func TestCrashCutsConnectionsAndKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s, err := pgserver.Start(t.Context(), pgserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err = s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "create table kept as select 'committed' as word"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "begin; insert into kept values ('open')"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := mustQuery(t, s.URL(), "select string_agg(word, ' ') from kept"); got != "committed" {
			t.Errorf("the table holds %q", got)
		}
	}
	if conn.Ping(t.Context()) == nil {
		t.Error("a connection outlived the crash")
	}
}
