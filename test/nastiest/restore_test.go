package nastiest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// program finds a client program of PostgreSQL.
func program(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return slices.Max(found)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if inCI, parseErr := strconv.ParseBool(os.Getenv("CI")); parseErr == nil && inCI {
			t.Fatal(err)
		}
		t.Skipf("%v: run apt-get install postgresql-client", err)
	}
	return path
}

// A dump taken while a relay works is restored to another database: delivery
// goes on there. Transaction ids, snapshots and the clock mean nothing any more.
func TestRestoredDatabaseGoesOn(t *testing.T) {
	t.Parallel()
	dump, restore := program(t, "pg_dump"), program(t, "pg_restore")
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	short := func(c *relay.Config) {
		c.LeaseTTL, c.RenewEvery, c.SendTimeout = 2*time.Second, 200*time.Millisecond, time.Second
	}
	// A transaction that is open during the dump is not in it.
	lost := w.begin(w.pool)
	lost.write(event("a1", "orders", `{"lost":true}`))
	// Slow enough that some are left when the dump begins, and none goes meanwhile.
	slow := w.fault(awsfake.Fault{Kind: awsfake.Delay, Delay: 30 * time.Millisecond})
	old := w.start(w.pool, short)
	var events []outbox.Event
	for i := range 600 {
		events = append(events, event(name("a", i%3), "orders", `{}`))
	}
	w.commit(events...)
	w.until("some are sent", func() bool { return w.fake.Tally("orders.fifo").Accepted >= 50 })

	refused := w.fault(awsfake.Fault{Kind: awsfake.FailCall, Code: "AccessDenied", Status: 403, SenderFault: true})
	file := filepath.Join(t.TempDir(), "dump")
	call(t, dump, "--format=custom", "--file="+file, w.pool.Config().ConnString())
	w.fake.RemoveFault(slow)
	w.fake.RemoveFault(refused)
	old.stop()
	lost.rollback()
	w.rec.Cause(history.Cause{Kind: history.Crash})

	target := outboxtest.URL(t, outboxtest.Unmigrated())
	call(t, restore, "--dbname="+target, "--exit-on-error", file)
	pool, err := pgxpool.New(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	waiting := number(t, pool, "select count(*) from outbox.events where sent_at is null")
	if waiting == 0 {
		t.Fatal("nothing waits in the dump: it was taken too late")
	}
	x := w.begin(pool)
	x.write(event("a1", "orders", `{"restored":true}`))
	x.commit()
	// The lease of the old relay was restored too: until it lapses there is no
	// place for another, which the next tick of a schedule tries again.
	r := w.start(pool, short)
	w.until("all is settled in the restored database", func() bool {
		select {
		case <-r.done:
			if r.sum.Outcome != relay.Standby {
				t.Fatalf("the relay ended: %+v, %v", r.sum, r.err)
			}
			r = w.start(pool, short)
		default:
		}
		return number(t, pool, "select count(*) from outbox.events where sent_at is null") == 0
	})
	r.stop()
	if v := w.judge(pool); v.Accepted != 601 {
		t.Errorf("accepted = %d, want 601", v.Accepted)
	}
}

// call runs a program that must succeed.
func call(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
}
