package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// rightsOf returns what a role may do in the schema, from the catalog: the functions that it may execute, and its rights
// on tables and columns.
func rightsOf(t *testing.T, pool *pgxpool.Pool, role string) (functions, tables string) {
	t.Helper()
	functions = query[string](t, pool, `
		select coalesce(string_agg(p.proname, ' ' order by p.proname), '')
		from pg_proc p where p.pronamespace = 'outbox'::regnamespace and has_function_privilege($1::text, p.oid, 'execute')`, role)
	tables = query[string](t, pool, `
		select coalesce(string_agg(lower(g.privilege_type) || ' on ' || g.what, ', ' order by g.what, g.privilege_type), '')
		from (
			select c.relname::text as what, a.privilege_type
			from pg_class c cross join aclexplode(c.relacl) a
			where c.relnamespace = 'outbox'::regnamespace and a.grantee = $1::text::regrole
			union all
			select c.relname::text || ' (' || string_agg(t.attname, ', ' order by t.attname) || ')', a.privilege_type
			from pg_class c join pg_attribute t on t.attrelid = c.oid cross join aclexplode(t.attacl) a
			where c.relnamespace = 'outbox'::regnamespace and a.grantee = $1::text::regrole
			group by c.relname, a.privilege_type
		) as g`, role)
	return functions, tables
}

// documentedRights returns the cells of the row of a role in the table of docs/security.md: the functions, and the rights
// on tables.
func documentedRights(t *testing.T, role string) (functions, tables string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `" + role + "` \\| ([^|]*) \\| ([^|]*) \\|").FindSubmatch(text)
	if row == nil {
		t.Fatalf("docs/security.md has no row for %s", role)
	}
	words := regexp.MustCompile("`([^`]*)`")
	list := func(cell []byte) (all []string) {
		for _, match := range words.FindAllSubmatch(cell, -1) {
			all = append(all, string(match[1]))
		}
		return all
	}
	names := list(row[1])
	slices.Sort(names)
	return strings.Join(names, " "), strings.Join(list(row[2]), ", ")
}

func TestRightsOfTheRolesAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	for _, role := range []string{"outbox_writer", "outbox_relay", "outbox_redrive", "outbox_janitor"} {
		functions, tables := rightsOf(t, pool, role)
		wantFunctions, wantTables := documentedRights(t, role)
		if functions != wantFunctions {
			t.Errorf("%s may execute\n%s\ndocs/security.md has\n%s", role, functions, wantFunctions)
		}
		if tables != wantTables {
			t.Errorf("%s may %s, docs/security.md has %s", role, tables, wantTables)
		}
	}
	const public = `select coalesce(string_agg(p.proname, ' '), '')
		from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		where p.pronamespace = 'outbox'::regnamespace and a.grantee = 0`
	if got := query[string](t, pool, public); got != "" {
		t.Errorf("every login may execute %s", got)
	}
}

// denied tests that the login is refused each of the statements for want of a right.
func denied(t *testing.T, login *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		_, err := login.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			t.Errorf("%s: error = %v, want permission denied", sql, err)
		}
	}
}

func TestRelayCannotReadTheArchiveOrMoveShards(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	insert(t, pool, "a")
	denied(t, login(t, pool, "outbox_relay"),
		"select payload from outbox.events",
		"update outbox.events set destination = 'x'",
		"update outbox.events set sent_at = now(), message_id = 'm'",
		"delete from outbox.events",
		"select payload from outbox.archive",
		"select payload from outbox.dead_letters",
		"insert into outbox.dead_letters (id) values (1)",
		"update outbox.dead_letters set reason = 'x'",
		"delete from outbox.dead_letters",
		"insert into outbox.blocked (first_id) values (1)",
		"update outbox.blocked set released_at = now()",
		"delete from outbox.blocked",
		"update outbox.relays set relay_id = gen_random_uuid()",
		"delete from outbox.relays",
		"update outbox.shards set owner = null",
		"select outbox.list_dead_letters(0, 1, true, null, null, null, null, null, null, null, null, null)",
		"select outbox.lock_leases()",
		"select outbox.set_role_prefix('x')",
		"update outbox.settings set keep = '0'",
	)
}

func TestJanitorKeepsWhatTheOwnerWantsKept(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	janitor := login(t, pool, "outbox_janitor")
	insert(t, pool, "a")
	exec(t, pool, `update outbox.events set sent_at = now() - interval '2 hours', message_id = 'm'`)
	exec(t, pool, `insert into outbox.redrives (row_id, event_id, generation, source, request_id, destination)
		select 1, gen_random_uuid(), 1, 'replay', 'r', 'd'`)
	exec(t, pool, `insert into outbox.dead_letters (id, created_at, event_id, replays, attempts, shard, aggregate_type, aggregate_id, event_type,
			destination, payload, code, reason, dead_at)
		values (7, now(), gen_random_uuid(), 0, 1, 1, 't', 'i', 'e', 'd', '{}', 'C', 'R', now() - interval '2 hours')`)
	exec(t, pool, "select setval('outbox.events_id_seq', 1500000)")
	if got := query[int64](t, janitor, "select moved from outbox.move_sent(0, 0, now() - interval '1 hour', 10)"); got != 1 {
		t.Fatalf("moved %d rows to the archive, want 1", got)
	}
	exec(t, pool, "drop table outbox.events_p000000")
	for sql, want := range map[string]string{
		"select outbox.delete_redrives('infinity', 1000)::text":                            "0",
		"select deleted::text from outbox.delete_archived(0, 10, 'infinity', 1000, false)": "0",
		"select outbox.drop_archived(0, 'infinity', false)":                                "young",
	} {
		if got := query[string](t, janitor, sql); got != want {
			t.Errorf("%s = %s, want %s: it is younger than outbox.settings.keep", sql, got, want)
		}
	}
	exec(t, pool, "update outbox.settings set keep = '1 hour'")
	exec(t, janitor, "select outbox.record_export(1, 1, 1, 1, 1, 1, 'x', 'y')")
	for _, sql := range []string{
		"select outbox.delete_archived(0, 10, 'infinity', 1000, false)",
		"select outbox.drop_archived(0, 'infinity', false)",
	} {
		_, err := janitor.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "55000" {
			t.Errorf("%s: error = %v, want that it must be exported", sql, err)
		}
	}
	if got := query[string](t, janitor, "select outbox.drop_archived(0, 'infinity', true)"); got != "changed" {
		t.Errorf("a partition without files: %s, want changed", got)
	}
	denied(t, janitor,
		"select outbox.make_partitions(1000)",
		"update outbox.settings set export_required = false",
		"select payload from outbox.events",
		"select payload from outbox.dead_letters",
		"delete from outbox.redrives",
	)
	exec(t, pool, "update outbox.settings set export_required = false")
	if got := query[string](t, janitor, "select outbox.drop_archived(0, 'infinity', false)"); got != "done" {
		t.Errorf("an old partition: %s, want done", got)
	}
}

// Two databases of one server, each with roles of its own: a login of one can neither write to the other nor read it.
func TestRolesWithAPrefixAreThoseOfOneDatabase(t *testing.T) {
	t.Parallel()
	type side struct {
		pool   *pgxpool.Pool
		prefix string
	}
	sides := make([]side, 2)
	for i := range sides {
		pool := outboxtest.DB(t, outboxtest.Unmigrated())
		prefix := fmt.Sprintf("p%d%s", i, strings.ToLower(strings.TrimPrefix(pool.Config().ConnConfig.Database, "outbox_test")))
		dropRoles(t, pool, prefix)
		if _, err := pgstore.Migrate(t.Context(), pool, pgstore.RolePrefix(prefix)); err != nil {
			t.Fatal(err)
		}
		sides[i] = side{pool, prefix}
	}
	for _, pair := range [][2]side{{sides[0], sides[1]}, {sides[1], sides[0]}} {
		own, other := pair[0], pair[1]
		insert(t, own.pool, "a")
		for role, statement := range map[string]string{
			"writer":  "select outbox.enqueue('order', '1', 'placed', '{}')",
			"relay":   "select * from outbox.read_backlog('{default}', '{0}', 10)",
			"redrive": "select outbox.read_status(10)",
			"janitor": "select outbox.health('1 minute', 10)",
		} {
			at := login(t, own.pool, own.prefix+"_"+role)
			exec(t, at, statement)
			config := at.Config()
			config.ConnConfig.Database = other.pool.Config().ConnConfig.Database
			there, err := pgxpool.NewWithConfig(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			denied(t, there, statement)
			there.Close()
		}
	}
}

// dropRoles drops the roles with the prefix, and what they were granted in the database of pool, when the test ends.
func dropRoles(t *testing.T, pool *pgxpool.Pool, prefix string) {
	t.Helper()
	t.Cleanup(func() {
		for _, role := range []string{"writer", "relay", "redrive", "janitor"} {
			name := prefix + "_" + role
			for _, sql := range []string{"drop owned by " + name, "drop role " + name} {
				if _, err := pool.Exec(context.Background(), sql); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
		}
	})
}

func TestAnotherPrefixTakesTheRightsOfTheFormerRoles(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	prefix := "q" + strings.ToLower(strings.TrimPrefix(pool.Config().ConnConfig.Database, "outbox_test"))
	former := login(t, pool, "outbox_writer")
	exec(t, former, "select outbox.enqueue('order', '1', 'placed', '{}')")
	dropRoles(t, pool, prefix)
	for range 2 {
		if _, err := pgstore.Migrate(t.Context(), pool, pgstore.RolePrefix(prefix)); err != nil {
			t.Fatal(err)
		}
	}
	denied(t, former, "select outbox.enqueue('order', '1', 'placed', '{}')", "insert into outbox.events (payload) values ('{}')")
	for role, kind := range map[string]string{"outbox_writer": "writer", "outbox_relay": "relay", "outbox_redrive": "redrive", "outbox_janitor": "janitor"} {
		if functions, tables := rightsOf(t, pool, role); functions != "" || tables != "" {
			t.Errorf("%s may still execute %s and %s", role, functions, tables)
		}
		functions, tables := rightsOf(t, pool, prefix+"_"+kind)
		wantFunctions, wantTables := documentedRights(t, role)
		if functions != wantFunctions || tables != wantTables {
			t.Errorf("%s_%s may execute %s and %s", prefix, kind, functions, tables)
		}
	}
	if _, err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if got := query[string](t, pool, "select role_prefix from outbox.settings"); got != prefix {
		t.Errorf("a migration without a prefix left %s, want %s", got, prefix)
	}
}

func TestPrefixesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	for _, prefix := range []string{"Shop", "9", "a-b", "a'; drop", strings.Repeat("a", 41)} {
		if _, err := pgstore.Migrate(t.Context(), pool, pgstore.RolePrefix(prefix)); err == nil {
			t.Errorf("the prefix %q was taken", prefix)
		}
		if err := pgstore.MigrationSQL(&strings.Builder{}, pgstore.RolePrefix(prefix)); err == nil {
			t.Errorf("the prefix %q was printed", prefix)
		}
	}
	// A role of that name is there already, with a member who could use this outbox.
	taken := "t" + strings.ToLower(strings.TrimPrefix(pool.Config().ConnConfig.Database, "outbox_test"))
	exec(t, pool, "create role "+taken+"_writer nologin")
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "drop role "+taken+"_writer"); err != nil {
			t.Error(err)
		}
	})
	login(t, pool, taken+"_writer")
	if _, err := pgstore.Migrate(t.Context(), pool, pgstore.RolePrefix(taken)); err == nil || !strings.Contains(err.Error(), "has the member") {
		t.Errorf("roles of another: error = %v, want the member's name", err)
	}
}
