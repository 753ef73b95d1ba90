//go:build unix

package pgserver_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

// pair returns a primary and its standby, and the proxy between them.
func pair(t *testing.T) (primary, standby *pgserver.Server, between *faultproxy.Proxy) {
	t.Helper()
	primary = start(t, pgserver.Config{Settings: map[string]string{"dynamic_shared_memory_type": "mmap"}})
	u, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	if between, err = faultproxy.Start(u.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = between.Close() })
	standby, err = primary.Standby(t.Context(), between.Addr())
	if errors.Is(err, pgserver.ErrNoBaseBackup) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	return primary, standby, between
}

func TestAPromotedStandbyHasWhatItReceivedAndNoMore(t *testing.T) {
	t.Parallel()
	primary, standby, between := pair(t)
	mustExec(t, primary.URL(), "create table t (v text)")
	if err := primary.Synchronise(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, primary.URL(), "insert into t values ('received')")
	between.Refuse(true)
	between.Cut()
	mustExec(t, primary.URL(), "set synchronous_commit = local; insert into t values ('not received')")
	dir := mustQuery(t, primary.URL(), "show data_directory")
	if err := primary.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitGone(t, primary.URL(), filepath.Dir(dir))
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, standby.URL(), "insert into t values ('new')")
	if got := mustQuery(t, standby.URL(), "select string_agg(v, ', ' order by v) from t"); got != "new, received" {
		t.Errorf("the promoted standby has %s", got)
	}
}
