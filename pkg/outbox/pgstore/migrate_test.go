package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// older are functions as another version of this package may have them.
func older(t *testing.T, name string, change ...string) string {
	t.Helper()
	text := strings.NewReplacer(change...).Replace(pgstore.SchemaFunctions()[name])
	if text == pgstore.SchemaFunctions()[name] {
		t.Fatalf("the text of %s is as before", name)
	}
	return text
}

// reaches tests that Migrate leads to the schema that it makes of an empty database,
// changing what is wanted, and that there is nothing to do then.
func reaches(t *testing.T, pool *pgxpool.Pool, want pgstore.Migrated) {
	t.Helper()
	store := pgstore.New(pool)
	if err := store.Check(t.Context()); !errors.Is(err, pgstore.ErrSchema) {
		t.Errorf("check before = %v, want ErrSchema", err)
	}
	got, err := pgstore.Migrate(t.Context(), pool)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("migrated %+v, %v, want %+v", got, err, want)
	}
	if got, want := dump(t, pool), dump(t, outboxtest.DB(t)); got != want {
		t.Error("the schema differs from a new one")
	}
	if got, err := pgstore.Migrate(t.Context(), pool); err != nil || !reflect.ValueOf(got).IsZero() {
		t.Errorf("again: %+v, %v, want nothing to do", got, err)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("check after: %v", err)
	}
}

func TestMigrateMakesAFunctionAnewWhoseTextChanged(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	text := older(t, "read_backlog", "count(*)", "count(*) + 1000")
	if _, err := pgstore.MigrateWith(t.Context(), pool, "read_backlog", text); err != nil {
		t.Fatal(err)
	}
	oid := query[uint32](t, pool, "select 'outbox.read_backlog'::regproc::oid")
	const rows = "select string_agg(xmin::text, ',' order by proname) from pg_proc where pronamespace = 'outbox'::regnamespace and proname <> 'read_backlog'"
	others := query[string](t, pool, rows)
	reaches(t, pool, pgstore.Migrated{Functions: []string{"read_backlog"}})
	if query[uint32](t, pool, "select 'outbox.read_backlog'::regproc::oid") != oid {
		t.Error("the function was dropped, and not replaced: sessions that are about to call it would fail")
	}
	if query[string](t, pool, rows) != others {
		t.Error("functions with the same text were written")
	}
}

func TestMigrateDropsAFunctionThatIsNoMore(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	const gone = `create or replace function outbox.gone(a integer) returns integer
language sql
return a;

select outbox.grant_function('gone', '{outbox_relay}');
`
	if _, err := pgstore.MigrateWith(t.Context(), pool, "gone", gone); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "create function outbox.of_the_team() returns integer language sql return 1")
	if done, err := pgstore.Migrate(t.Context(), pool); err != nil || !reflect.DeepEqual(done, pgstore.Migrated{Dropped: []string{"gone"}}) {
		t.Errorf("migrated %+v, %v", done, err)
	}
	exec(t, pool, "drop function outbox.of_the_team()") // it is there still
	if got, want := dump(t, pool), dump(t, outboxtest.DB(t)); got != want {
		t.Error("the schema differs from a new one")
	}
}

func TestMigrateMakesAFunctionAnewWhoseArgumentsOrResultChanged(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unseal_partition": older(t, "unseal_partition", "returns text", "returns varchar"),
		"expire_relays":    older(t, "expire_relays", "p_before timestamptz)", "p_before timestamptz, p_more integer)"),
		"forget_exports":   older(t, "forget_exports", "p_number bigint", "p_partition bigint", "= p_number", "= p_partition"),
		"delete_redrives":  older(t, "delete_redrives", "p_limit integer)", "p_limit integer default 7)"),
		"list_archive":     older(t, "list_archive", "rows bigint, bytes bigint)", "rows bigint, bytes numeric)"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t, outboxtest.Unmigrated())
			if _, err := pgstore.MigrateWith(t.Context(), pool, name, text); err != nil {
				t.Fatal(err)
			}
			reaches(t, pool, pgstore.Migrated{Functions: []string{name}})
		})
	}
}

// A function that was dropped by hand, and one whose row was deleted, as after a
// restore without data.
func TestMigrateMakesMissingFunctions(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	exec(t, pool, "drop function outbox.settle")
	exec(t, pool, "delete from outbox.functions where name = 'health'")
	reaches(t, pool, pgstore.Migrated{Functions: []string{"health", "settle"}})
}

func TestMigrateLeavesANewerSchemaAsItIs(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	if _, err := pgstore.MigrateWith(t.Context(), pool, "settle", older(t, "settle", "mismatched := 0;", "mismatched := 0; -- newer")); err != nil {
		t.Fatal(err)
	}
	exec(t, pool, "insert into outbox.migrations (version_id, is_applied) values ($1, true)", pgstore.Version()+1)
	before := dump(t, pool)
	if done, err := pgstore.Migrate(t.Context(), pool); !errors.Is(err, pgstore.ErrSchemaNewer) || !reflect.ValueOf(done).IsZero() {
		t.Errorf("migrate of a newer schema = %+v, %v, want ErrSchemaNewer", done, err)
	}
	if dump(t, pool) != before {
		t.Error("a newer schema was changed")
	}
	if err := pgstore.New(pool).Check(t.Context()); err != nil {
		t.Errorf("check of a newer schema: %v", err)
	}
}

func TestTenMigrateAnOlderSchemaAtOnce(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated(), outboxtest.MaxConns(4))
	if _, err := pgstore.MigrateWith(t.Context(), pool, "settle", older(t, "settle", "out mismatched integer", "out mismatched bigint")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var made []string
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			done, err := pgstore.Migrate(t.Context(), pool)
			if err != nil {
				t.Errorf("migrate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			made = append(made, done.Functions...)
		})
	}
	group.Wait()
	if !slices.Equal(made, []string{"settle"}) {
		t.Errorf("made %v in all, want settle once", made)
	}
}

// A function that cannot be made leaves the schema as it was.
func TestMigrateIsOneTransaction(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	broken := older(t, "settle", "begin", "begn")
	if _, err := pgstore.MigrateWith(t.Context(), pool, "settle", broken); err == nil {
		t.Fatal("a function with a fault was made")
	}
	if n := query[int](t, pool, "select count(*) from pg_class where relnamespace = 'outbox'::regnamespace and relname in ('events', 'functions')"); n != 0 {
		t.Errorf("%d tables are there", n)
	}
	if _, err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Errorf("migrate after it: %v", err)
	}
}

// ownerOf makes a login without rights beyond its database, which it owns.
func ownerOf(t *testing.T, pool *pgxpool.Pool) *pgxpool.Config {
	t.Helper()
	database := pool.Config().ConnConfig.Database
	owner := "owner" + strings.TrimPrefix(database, "outbox_test")
	exec(t, pool, "create role "+owner+" login password 'owner'")
	exec(t, pool, "alter database "+database+" owner to "+owner)
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = owner, "owner"
	t.Cleanup(func() {
		for _, sql := range []string{"reassign owned by " + owner + " to current_user", "drop role " + owner} {
			if _, err := pool.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	return config
}

func TestAnOwnerWithoutOtherRightsMigrates(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	own, err := pgxpool.NewWithConfig(t.Context(), ownerOf(t, pool))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	text := older(t, "settle", "out mismatched integer", "out mismatched bigint")
	if _, err := pgstore.MigrateWith(t.Context(), own, "settle", text); err != nil {
		t.Fatal(err)
	}
	reaches(t, own, pgstore.Migrated{Functions: []string{"settle"}})
	for _, sql := range []string{
		fmt.Sprintf("revoke create on database %s from %s", own.Config().ConnConfig.Database, own.Config().ConnConfig.User),
		"drop function outbox.health",
	} {
		exec(t, pool, sql)
	}
	reaches(t, own, pgstore.Migrated{Functions: []string{"health"}})
}

// A role that loses the right to a function has it no more, and one that is made
// later gets its rights from grant_roles.
func TestGrantsOfAFunctionFollowItsFile(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	text := older(t, "settle", "'{outbox_relay}'", "'{outbox_relay, outbox_writer}'")
	if _, err := pgstore.MigrateWith(t.Context(), pool, "settle", text); err != nil {
		t.Fatal(err)
	}
	const may = "select has_function_privilege('outbox_writer', 'outbox.settle(uuid, bigint[], uuid[], text[], text[])', 'execute')"
	if !query[bool](t, pool, may) {
		t.Error("the role has no right that the file grants")
	}
	reaches(t, pool, pgstore.Migrated{Functions: []string{"settle"}})
	if query[bool](t, pool, may) {
		t.Error("the role has a right that the file does not grant")
	}
	exec(t, pool, "revoke all on function outbox.settle from outbox_relay")
	exec(t, pool, "select outbox.grant_roles()")
	if got, want := dump(t, pool), dump(t, outboxtest.DB(t)); got != want {
		t.Error("grant_roles does not make all grants")
	}
}

func TestEveryFunctionFindsWhatItNamesWhateverTheSearchPath(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	// The body of a function in the standard form is resolved when it is created.
	const bare = `select coalesce(string_agg(p.proname, ', '), '') from pg_proc p
		where p.pronamespace = 'outbox'::regnamespace and p.prosqlbody is null
		  and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)`
	if got := query[string](t, pool, bare); got != "" {
		t.Errorf("functions without a search_path: %s", got)
	}
}
