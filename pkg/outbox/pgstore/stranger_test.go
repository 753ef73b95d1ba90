package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// stranger returns a pool of a login that has no role of the outbox and no right beyond those of public, and its name.
// What it made is dropped with it.
func stranger(t *testing.T, pool *pgxpool.Pool) (*pgxpool.Pool, string) {
	t.Helper()
	name := "stranger" + strings.TrimPrefix(pool.Config().ConnConfig.Database, "outbox_test")
	exec(t, pool, fmt.Sprintf("create role %s login password 'secret'", name))
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	own, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.Close()
		for _, sql := range []string{"drop owned by " + name + " cascade", "drop role " + name} {
			if _, err := pool.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	return own, name
}

// delivers tests that a relay joins, renews, delivers and leaves, that partitions are made and that the schema can be
// migrated, each within the lock timeout of the database.
func delivers(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	store := pgstore.New(pool)
	event := insert(t, pool, "a")
	id := join(t, store)
	if lease := renew(t, store, relay.Renewal{RelayID: id}); len(lease.Shards) != 64 {
		t.Errorf("the relay owns %d shards, want 64", len(lease.Shards))
	}
	fetch(t, store, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Shards: allShards()})
	if got := settle(t, store, id, identified(t, pool, accept(event))); got.Accepted != 1 {
		t.Errorf("settled = %+v, want the event", got)
	}
	if err := store.Leave(ctx, id, eraOf(t, store), relay.Position{Low: event}); err != nil {
		t.Errorf("leave: %v", err)
	}
	for _, sql := range []string{
		"select outbox.expire_relays(now())",
		"select outbox.make_partitions(5)",
		"select outbox.seal_partition(0, now())",
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := pgstore.Migrate(ctx, pool); err != nil {
		t.Errorf("migrate: %v", err)
	}
}

// impatient gives every new session of the database a lock timeout, so that what waits for a stranger fails.
func impatient(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	exec(t, pool, fmt.Sprintf("alter database %s set lock_timeout = '2s'", pool.Config().ConnConfig.Database))
	pool.Reset()
}

func TestAdvisoryLocksOfAStrangerStopNothing(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	impatient(t, pool)
	other, _ := stranger(t, pool)
	held := begin(t, other)
	// The class is 'outb' in ASCII, which an earlier version of the schema had for its own locks.
	if _, err := held.Exec(t.Context(), "select pg_advisory_xact_lock(1869968504, n), pg_advisory_xact_lock(n) from generate_series(0, 50) n"); err != nil {
		t.Fatal(err)
	}
	delivers(t, pool)

	// None of the functions takes an advisory lock, whatever its number.
	tx := begin(t, pool)
	for _, sql := range []string{
		"select outbox.join_relay(gen_random_uuid(), 'test', '1 minute', '1 minute', '0', 9)",
		"select outbox.renew_relay(relay_id, 0, false, '1 minute', 1, false, '{}', '{}', '{}', 0, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') from outbox.relays",
		"select outbox.leave_relay(relay_id, 0, '{}', '{}', 0, '{}', '{}', '{}', '{}') from outbox.relays",
		"select outbox.expire_relays(now())",
		"select outbox.make_partitions(6)",
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	const advisory = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
	if n := query[int](t, tx, advisory); n != 0 {
		t.Errorf("%d advisory locks are taken, which every login can take as well", n)
	}
}

// A writer may use the schema. So it can name a table in a statement that is prepared and never run, which has a weak
// lock on the table until its transaction ends.
func TestLocksThatAWriterCanTakeStopNothing(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	impatient(t, pool)
	writer := login(t, pool, "outbox_writer")
	for _, sql := range []string{
		"do $$ begin lock table outbox.locks in access share mode; end $$",
		"do $$ begin lock table outbox.locks in share update exclusive mode; end $$",
		"select from outbox.locks for update",
		"update outbox.locks set name = name",
		"delete from outbox.locks",
		"select outbox.lock_leases()",
		"select outbox.lock_partitions(false)",
	} {
		_, err := writer.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			t.Errorf("%s: error = %v, want permission denied", sql, err)
		}
	}
	held := begin(t, writer)
	for _, sql := range []string{
		"prepare a as select from outbox.locks for update",
		"prepare b as update outbox.locks set name = name",
		"prepare c as delete from outbox.locks",
	} {
		if _, err := held.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	delivers(t, pool)
}

func TestMigrateRefusesWhatAnotherRoleMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		migrated bool
		// plant is run by the stranger, whom %[1]s names, with the right to create in the database.
		prepare, plant, want string
	}{
		"the schema": {
			plant: "create schema outbox",
			want:  "the schema outbox belongs to the role %[1]s",
		},
		"a function in the schema": {
			prepare: "create schema outbox; grant all on schema outbox to %[1]s",
			plant: `create function outbox.grant_function(a text, b text[] default '{}') returns void language plpgsql
				as $$ begin execute format('alter role %[1]s superuser'); end $$`,
			want: "function outbox.grant_function(text,text[]) belongs to the role %[1]s",
		},
		"a table of the schema": {
			prepare: "create schema outbox; grant all on schema outbox to %[1]s",
			plant:   "create table outbox.migrations (version_id bigint, is_applied boolean)",
			want:    "table outbox.migrations belongs to the role %[1]s",
		},
		"an operator beside the schema's own": {
			migrated: true,
			prepare:  "grant create on schema outbox to %[1]s",
			plant:    "create operator outbox.+ (function = int4pl, leftarg = integer, rightarg = integer)",
			want:     "operator outbox.+(integer,integer) belongs to the role %[1]s",
		},
		"the right to create": {
			migrated: true,
			prepare:  "grant create on schema outbox to %[1]s",
			want:     "the role %[1]s may create in the schema outbox",
		},
		"everybody's right to create": {
			migrated: true,
			prepare:  "grant create on schema outbox to public",
			want:     "the role public may create in the schema outbox",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t, outboxtest.Unmigrated())
			if c.migrated {
				pool = outboxtest.DB(t, outboxtest.Direct())
			}
			other, user := stranger(t, pool)
			exec(t, pool, fmt.Sprintf("grant create on database %s to %s", pool.Config().ConnConfig.Database, user))
			for _, step := range []struct {
				pool *pgxpool.Pool
				sql  string
			}{{pool, c.prepare}, {other, c.plant}} {
				exec(t, step.pool, strings.ReplaceAll(step.sql, "%[1]s", user))
			}
			const made = "select coalesce(string_agg(oid::text, ' ' order by oid), '') from pg_class where oid >= 16384"
			before := query[string](t, pool, made)
			want := strings.ReplaceAll(c.want, "%[1]s", user)
			if _, err := pgstore.Migrate(t.Context(), pool); !errors.Is(err, pgstore.ErrOwner) || !strings.Contains(err.Error(), want) {
				t.Errorf("migrate = %v, want ErrOwner and %q", err, want)
			}
			var text strings.Builder
			if err := pgstore.MigrationSQL(&text); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), text.String()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the printed SQL = %v, want %q", err, want)
			}
			if after := query[string](t, pool, made); after != before {
				t.Error("something was made before the refusal")
			}
			if query[bool](t, pool, "select rolsuper from pg_roles where rolname = $1", user) {
				t.Error("a function of the stranger ran with the rights of the role that migrates")
			}
		})
	}
}
