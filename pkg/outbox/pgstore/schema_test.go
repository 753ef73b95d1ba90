package pgstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var update = flag.Bool("update", false, "write the golden schema anew")

const golden = "testdata/schema.golden.sql"

func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	text, err := os.ReadFile("testdata/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		// The server writes defaults in the style of the session.
		if _, refused := tx.Exec(t.Context(), "set local intervalstyle = 'postgres'"); refused != nil {
			return refused
		}
		rows, refused := tx.Query(t.Context(), string(text))
		if refused != nil {
			return refused
		}
		lines, refused = pgx.CollectRows(rows, pgx.RowTo[string])
		return refused
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestSchemaIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	got := dump(t, outboxtest.DB(t))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	wantLines := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("the schema differs from %s at line %d:\n%s\nIf that is meant, run: go test ./pkg/outbox/pgstore -run TestSchemaIsTheGoldenOne -update", golden, i+1, line)
		}
	}
	t.Fatalf("the schema has fewer lines than %s", golden)
}

func TestMigrateTwentyAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated(), outboxtest.MaxConns(4))
	store := pgstore.New(pool)
	if err := store.Check(t.Context()); !errors.Is(err, pgstore.ErrSchema) {
		t.Errorf("check of an empty database = %v, want ErrSchema", err)
	}
	var mu sync.Mutex
	applied, made := 0, 0
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			done, err := pgstore.Migrate(t.Context(), pool)
			if err != nil {
				t.Errorf("migrate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			applied += len(done.Versions)
			made += len(done.Functions)
		})
	}
	group.Wait()
	if applied != int(pgstore.Version()) {
		t.Errorf("%d migrations were applied in all, want %d", applied, pgstore.Version())
	}
	if want := len(pgstore.SchemaFunctions()); made != want {
		t.Errorf("%d functions were made in all, want %d", made, want)
	}
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestMigrationSQLMakesTheSameSchema(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := pgstore.MigrationSQL(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "+goose") {
		t.Error("annotations are left in it")
	}
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	exec(t, pool, text.String())
	if got, want := dump(t, pool), dump(t, outboxtest.DB(t)); got != want {
		t.Error("the schema differs from the one that Migrate makes")
	}
	if done, err := pgstore.Migrate(t.Context(), pool); err != nil || !reflect.ValueOf(done).IsZero() {
		t.Errorf("migrate after it changed %+v, %v, want nothing to do", done, err)
	}
	if err := pgstore.New(pool).Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestCheckRefusesSettingsThatLoseEvents(t *testing.T) {
	t.Parallel()
	// Direct: a pooler keeps sessions that began before the database was altered.
	pool := outboxtest.DB(t, outboxtest.Direct())
	store := pgstore.New(pool)
	exec(t, pool, "alter sequence outbox.events_id_seq cache 10")
	if err := store.Check(t.Context()); !errors.Is(err, pgstore.ErrSettings) {
		t.Errorf("check with a cached sequence = %v, want ErrSettings", err)
	}
	exec(t, pool, "alter sequence outbox.events_id_seq cache 1")
	exec(t, pool, "delete from outbox.migrations where version_id > 0")
	if err := store.Check(t.Context()); !errors.Is(err, pgstore.ErrSchema) {
		t.Errorf("check of an old schema = %v, want ErrSchema", err)
	}
	exec(t, pool, fmt.Sprintf("alter database %s set default_transaction_isolation = 'repeatable read'", pool.Config().ConnConfig.Database))
	pool.Reset()
	if _, err := store.Join(t.Context(), relay.Join{Relays: 1, TTL: ttl}); !errors.Is(err, pgstore.ErrSettings) {
		t.Errorf("join under repeatable read = %v, want ErrSettings", err)
	}
}

func TestRowsTheBrokerWouldRefuseAreRefused(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	for name, c := range map[string]struct {
		aggregateType, id, typ, destination, payload, headers string
		constraint                                            string
	}{
		"good":                    {"t", strings.Repeat("ü", 1024), "x", "d", `{"a":"\u0001"}`, `{"k":"v"}`, ""},
		"emoji":                   {"t", "😀\t\r\n", "x", "d", `"😀"`, `{}`, ""},
		"largest payload":         {"t", "i", "x", "d", `"` + strings.Repeat("x", 1015806) + `"`, `{}`, ""},
		"no type":                 {"", "i", "x", "d", `{}`, `{}`, "aggregate_type_has_1_to_256_characters"},
		"no id":                   {"t", "", "x", "d", `{}`, `{}`, "aggregate_id_has_1_to_1024_characters"},
		"no event type":           {"t", "i", "", "d", `{}`, `{}`, "event_type_has_1_to_256_characters"},
		"no destination":          {"t", "i", "x", "", `{}`, `{}`, "destination_has_1_to_256_characters"},
		"long id":                 {"t", strings.Repeat("ü", 1025), "x", "d", `{}`, `{}`, "aggregate_id_has_1_to_1024_characters"},
		"long type":               {strings.Repeat("t", 257), "i", "x", "d", `{}`, `{}`, "aggregate_type_has_1_to_256_characters"},
		"long lane":               {"t", strings.Repeat("𝄞", 649) + "x", "x", "de", `{}`, `{}`, ""},
		"too long a lane":         {"t", strings.Repeat("𝄞", 649) + "xx", "x", "de", `{}`, `{}`, "lane_has_at_most_2600_bytes"},
		"control character":       {"t", "a\x01", "x", "d", `{}`, `{}`, "aggregate_id_has_only_characters_that_sqs_takes"},
		"escape in the type":      {"t", "i", "x\x1b", "d", `{}`, `{}`, "event_type_has_only_characters_that_sqs_takes"},
		"U+FFFF in the type":      {"t\uffff", "i", "x", "d", `{}`, `{}`, "aggregate_type_has_only_characters_that_sqs_takes"},
		"U+FFFE in the payload":   {"t", "i", "x", "d", "\"\ufffe\"", `{}`, "payload_has_only_characters_that_sqs_takes"},
		"U+FFFF in the headers":   {"t", "i", "x", "d", `{}`, "{\"k\":\"\uffff\"}", ""},
		"lone surrogate":          {"t", "i", "x", "d", `"\ud800"`, `{"k":"\ud800"}`, ""},
		"deep payload":            {"t", "i", "x", "d", strings.Repeat("[", 4001) + strings.Repeat("]", 4001), `{}`, "payload_is_at_most_4000_levels_deep"},
		"large payload":           {"t", "i", "x", "d", `"` + strings.Repeat("x", 1015807) + `"`, `{}`, "payload_is_at_most_1_mib_less_32_kib"},
		"large headers":           {"t", "i", "x", "d", `{}`, `{"k":"` + strings.Repeat("x", 8192) + `"}`, "headers_are_at_most_8_kib"},
		"headers that are a list": {"t", "i", "x", "d", `{}`, `[]`, "headers_are_a_json_object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pool.Exec(t.Context(), "select outbox.enqueue($1::text, $2::text, $3::text, ($4::text)::json, $5::text, ($6::text)::json)",
				c.aggregateType, c.id, c.typ, c.payload, c.destination, c.headers)
			pgErr, refused := errors.AsType[*pgconn.PgError](err)
			switch {
			case c.constraint == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.constraint != "" && (!refused || pgErr.ConstraintName != c.constraint):
				t.Errorf("error = %v, want %s", err, c.constraint)
			}
		})
	}
}

// All events with the id zero would have one deduplication id.
func TestEventIDZeroIsRefused(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	_, err := pool.Exec(t.Context(), "select outbox.enqueue('t', 'i', 'x', '{}', event_id => '00000000-0000-0000-0000-000000000000')")
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.ConstraintName != "event_id_is_not_zero" {
		t.Errorf("error = %v", err)
	}
}

// The longest names that an event may have are a key that the index takes,
// also when they cannot be compressed.
func TestLongestLaneCanBeBlocked(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	var id strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for range 649 {
		id.WriteRune(rune(0x20000 + random.IntN(0xa000)))
	}
	id.WriteString("x")
	exec(t, pool, "select outbox.enqueue('t', $1::text, 'x', '{}', 'de')", id.String())
	exec(t, pool, `insert into outbox.blocked (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
		select id, event_id, shard, destination, aggregate_type, aggregate_id, 'R' from outbox.events`)
}

// login returns a pool of a login that has only the role.
func login(t *testing.T, pool *pgxpool.Pool, role string) *pgxpool.Pool {
	t.Helper()
	database := pool.Config().ConnConfig.Database
	name := role + strings.TrimPrefix(database, "outbox_test")
	exec(t, pool, fmt.Sprintf("create role %s login password 'secret' in role %s", name, role))
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	own, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.Close()
		if _, err := pool.Exec(context.Background(), "drop role "+name); err != nil {
			t.Errorf("drop role: %v", err)
		}
	})
	return own
}

func TestWriterMayWriteAndNotRead(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	writer := login(t, pool, "outbox_writer")
	exec(t, writer, "select outbox.lock_aggregate('order', '1')")
	exec(t, writer, "select outbox.enqueue('order', '1', 'placed', '{}')")
	exec(t, writer, "insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', '1', 'placed', '{}')")
	if n := query[int](t, pool, "select count(*) from outbox.events"); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	for _, sql := range []string{
		"select payload from outbox.events",
		"select id from outbox.events",
		"select from outbox.dead_letters",
		"update outbox.events set destination = 'x'",
		"delete from outbox.events",
		"insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, sent_at, message_id) values ('order', '1', 'placed', '{}', now(), 'x')",
		"insert into outbox.events_p000000 (id, aggregate_type, aggregate_id, event_type, payload) overriding system value values (99, 'order', '1', 'placed', '{}')",
		"select outbox.make_partitions(1)",
		"select nextval('outbox.events_id_seq')",
	} {
		_, err := writer.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			t.Errorf("%s: error = %v, want permission denied", sql, err)
		}
	}
}

func TestRelayRoleIsEnoughForARelay(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	store := pgstore.New(login(t, pool, "outbox_relay"))
	a, b := insert(t, pool, "a"), insert(t, pool, "b")
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	id := join(t, store)
	renew(t, store, relay.Renewal{RelayID: id})
	fetch(t, store, relay.Fetch{
		Scans:        []relay.Scan{{Limit: 10}},
		Destinations: []relay.DestinationBackfill{{Destination: "default", Page: page(1)}},
		Gaps:         []relay.Range{{From: 1, To: 2}},
		Shards:       allShards(),
		Writers:      true,
	})
	s := accept(a)
	s.DeadLetters = []relay.DeadLetter{{ID: b, Block: true}}
	if got := settle(t, store, id, identified(t, pool, s)); got != (relay.Settled{Accepted: 1, DeadLetters: 1}) {
		t.Errorf("settled = %+v", got)
	}
	exec(t, pool, "update outbox.blocked set released_at = now()")
	renew(t, store, relay.Renewal{RelayID: id, Unblock: renew(t, store, relay.Renewal{RelayID: id}).Released})
	if n := query[int](t, pool, "select count(*) from outbox.blocked"); n != 0 {
		t.Error("the hold is still there")
	}
	if _, err := store.Backlog(t.Context(), nil, 10); err != nil {
		t.Errorf("backlog: %v", err)
	}
	if err := store.Leave(t.Context(), id, eraOf(t, store), relay.Position{Low: 2}); err != nil {
		t.Errorf("leave: %v", err)
	}
}

func TestMigratingWithoutTheRightToMakeRoles(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	database := pool.Config().ConnConfig.Database
	owner := "owner" + strings.TrimPrefix(database, "outbox_test")
	exec(t, pool, "create role "+owner+" login password 'owner'")
	exec(t, pool, "alter database "+database+" owner to "+owner)
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = owner, "owner"
	var notices []string
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	own, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.Close()
		exec := func(sql string) {
			if _, err := pool.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
		exec("reassign owned by " + owner + " to current_user")
		exec("drop role " + owner)
	})
	if _, err := pgstore.Migrate(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	// The roles of the cluster are there, so a name that is not stands in.
	exec(t, pool, "update outbox.settings set role_prefix = 'outbox_nobody'")
	exec(t, own, "select outbox.grant_roles()")
	if !slices.ContainsFunc(notices, func(n string) bool { return strings.Contains(n, "create role outbox_nobody_janitor nologin") }) {
		t.Errorf("notices = %q, want the command to run", notices)
	}
	if err := pgstore.New(own).Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestPartitionsAreMadeAheadOnce(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	if n := query[int](t, pool, "select outbox.make_partitions(3)"); n != 0 {
		t.Errorf("made %d, want none: the migration made them", n)
	}
	exec(t, pool, "select setval('outbox.events_id_seq', 5999999)")
	stray := insert(t, pool, "a") // 6000000, which only the default partition takes
	if n := query[int](t, pool, "select outbox.make_partitions(2)"); n != 2 {
		t.Errorf("made %d, want the two whose range is free", n)
	}
	if got := query[string](t, pool, "select tableoid::regclass::text from outbox.events where id = $1::bigint", stray); got != "outbox.events_default" {
		t.Errorf("the row is in %s", got)
	}
	exec(t, pool, "select setval('outbox.events_id_seq', 7000000)")
	id := insert(t, pool, "a")
	if got := query[string](t, pool, "select tableoid::regclass::text from outbox.events where id = $1::bigint", id); got != "outbox.events_p000007" {
		t.Errorf("the next row is in %s", got)
	}
}

func TestTheArchiveRefusesWhatWasNotSent(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	insert(t, pool, "a")
	exec(t, pool, "alter table outbox.events detach partition outbox.events_p000000")
	attach := "alter table outbox.archive attach partition outbox.events_p000000 for values from (0) to (1000000)"
	if _, err := pool.Exec(t.Context(), attach); err == nil {
		t.Error("attached a partition with an unsent row")
	}
	exec(t, pool, "update outbox.events_p000000 set sent_at = now(), message_id = 'm'")
	exec(t, pool, "alter table outbox.events_p000000 alter sent_at set not null")
	exec(t, pool, attach)
	if n := query[int](t, pool, "select count(*) from outbox.archive"); n != 1 {
		t.Errorf("%d rows in the archive, want 1", n)
	}
}

// A partition that is made while ids of its range are drawn already fails no writer:
// without a lock on the parent, an insert that was routed to outbox.events_default
// would be refused there (23514) once the partition is attached.
func TestMakingThePartitionInUseFailsNoWriter(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	exec(t, pool, "select setval('outbox.events_id_seq', 100 * outbox.partition_size())")
	making := begin(t, pool)
	if !query[bool](t, making, "select outbox.make_partition(100)") {
		t.Fatal("the partition was not made")
	}
	written := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), "select outbox.enqueue('order', '1', 'placed', '{}')")
		written <- err
	}()
	waitBlocked(t, pool)
	if err := making.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Errorf("the writer failed: %v", err)
	}
	if n := query[int](t, pool, "select count(*) from outbox.events_p000100"); n != 1 {
		t.Errorf("%d rows are in the partition, want 1", n)
	}
}
