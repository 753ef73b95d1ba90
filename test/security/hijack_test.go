package security_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// A login that may create in public plants functions, operators, types and tables there, which match what the outbox
// uses better than those of pg_catalog do. The schema is made, made anew and used by a superuser, whose search_path
// names public first, and by a login of each role: none of what was planted runs, and nothing in the catalog points to
// it.
func TestNothingThatAnotherLoginMadeRuns(t *testing.T) {
	t.Parallel()
	migrated := func(t *testing.T, pool *pgxpool.Pool) {
		t.Helper()
		if _, err := pgstore.Migrate(t.Context(), pool); err != nil {
			t.Fatalf("migrate: %v", err)
		}
	}
	printed := func(t *testing.T, pool *pgxpool.Pool) {
		t.Helper()
		var text strings.Builder
		if err := pgstore.MigrationSQL(&text); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(t.Context(), text.String()); err != nil {
			t.Fatalf("the printed SQL: %v", err)
		}
	}
	for name, c := range map[string]struct {
		path string
		make func(t *testing.T, pool *pgxpool.Pool)
	}{
		"the default path, migrated":   {`"$user", public`, migrated},
		"public before all, migrated":  {"public, pg_catalog", migrated},
		"public before all, from text": {"public, pg_catalog", printed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := outboxtest.DB(t, outboxtest.Unmigrated())
			admin := safe(t, base)
			database := base.Config().ConnConfig.Database
			plantAs(t, admin, base)
			run(t, admin, "alter database "+database+" set search_path = "+c.path)
			base.Reset()

			c.make(t, base)
			run(t, admin, "update outbox.functions set sha256 = ''")
			migrated(t, base)
			pointsOnlyInside(t, admin)

			write(t, login(t, admin, base, "outbox_writer"))
			relays(t, login(t, admin, base, "outbox_relay"))
			redrives(t, login(t, admin, base, "outbox_redrive"))
			keeps(t, login(t, admin, base, "outbox_janitor"))
		})
	}
}

// safe returns a connection of the user of pool on which names are looked up in pg_catalog.
func safe(t *testing.T, pool *pgxpool.Pool) *pgx.Conn {
	t.Helper()
	config := pool.Config().ConnConfig.Copy()
	config.RuntimeParams["search_path"] = "pg_catalog"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// user makes a login of the cluster, which is dropped with all that it made when the test ends, and returns the
// settings of a connection of it.
func user(t *testing.T, admin *pgx.Conn, pool *pgxpool.Pool, name, role string) *pgxpool.Config {
	t.Helper()
	config := pool.Config()
	name += strings.TrimPrefix(config.ConnConfig.Database, "outbox_test")
	run(t, admin, fmt.Sprintf("create role %s login password 'secret' %s", name, role))
	t.Cleanup(func() {
		for _, sql := range []string{"drop owned by " + name + " cascade", "drop role " + name} {
			if _, err := admin.Exec(context.Background(), sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	return config
}

// login returns a pool of a login that has only the role, and the search_path of the database.
func login(t *testing.T, admin *pgx.Conn, pool *pgxpool.Pool, role string) *pgxpool.Pool {
	t.Helper()
	own, err := pgxpool.NewWithConfig(t.Context(), user(t, admin, pool, role, "in role "+role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	return own
}

// plantAs plants traps as a login that may create in public.
func plantAs(t *testing.T, admin *pgx.Conn, pool *pgxpool.Pool) {
	t.Helper()
	config := user(t, admin, pool, "planter", "")
	run(t, admin, "grant create on schema public to "+config.ConnConfig.User)
	conn, err := pgx.ConnectConfig(t.Context(), config.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	plant(t, conn)
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// pointsOnlyInside tests that nothing in the schema outbox depends on anything outside it and pg_catalog: no default,
// check, generated column, index or body of a function.
func pointsOnlyInside(t *testing.T, admin *pgx.Conn) {
	t.Helper()
	rows, err := admin.Query(t.Context(), `
		with recursive inside as (
			select 'pg_namespace'::regclass as classid, n.oid as objid from pg_namespace n where n.nspname in ('outbox', 'pg_catalog')
			union
			select d.classid, d.objid from pg_depend d
			join inside i on i.classid = d.refclassid and i.objid = d.refobjid
			where d.deptype in ('n', 'a', 'i', 'P', 'S')
		)
		select distinct pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
		from pg_depend d
		join inside i on i.classid = d.classid and i.objid = d.objid
		where not exists (select from inside x where x.classid = d.refclassid and x.objid = d.refobjid)
		  and d.refobjid >= 16384`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range found {
		t.Error(line)
	}
}

// write writes events in each of the ways that there are.
func write(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	event := outbox.Event{AggregateType: "order", AggregateID: "1", Type: "placed", Payload: []byte(`{"a":1}`), Headers: map[string]string{"k": "v"}}
	other := outbox.Event{AggregateType: "order", AggregateID: "2", Type: "placed", Payload: []byte(`{"a":1}`)}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := (outbox.Enqueuer{LockAggregates: true}).Enqueue(ctx, tx, event, other); err != nil {
			return err
		}
		if _, err := outbox.EnqueueCopy(ctx, tx, slices.Values([]outbox.Event{event, other})); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "select outbox.enqueue('order', '3', 'placed', '{}')")
		return err
	})
	if err != nil {
		t.Errorf("write: %v", err)
	}
}

// relays does what a relay does.
func relays(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	store := pgstore.New(pool)
	id := uuid.New()
	lane := outbox.Lane{Destination: "default", AggregateType: "order", AggregateID: "1"}
	page := relay.Page{From: 1, Limit: 10, Examine: 100}
	shards := make([]int, outbox.Shards)
	for i := range shards {
		shards[i] = i
	}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("check", store.Check(ctx))
	_, err := store.Join(ctx, relay.Join{RelayID: id, Name: "test", TTL: time.Minute, RunFor: time.Hour, Relays: 10})
	check("join", err)
	var lease relay.Lease
	for range 2 {
		lease, err = store.Renew(ctx, relay.Renewal{
			RelayID: id, Era: lease.Era, TTL: time.Minute, Relays: 1,
			Position: relay.Position{Low: 1, Gaps: []relay.Range{{From: 2, To: 3}}},
			Unblock:  []relay.ReleasedLane{{Lane: lane, ReleasedAt: time.Now()}},
		})
		check("renew", err)
	}
	fetched, err := store.Fetch(ctx, relay.Fetch{
		Shards: shards, Scans: []relay.Scan{{Limit: 100}},
		Destinations: []relay.DestinationBackfill{{Destination: "default", Page: page}},
		Searches:     []relay.LaneSearch{{Lane: lane, From: 1, Examine: 10}},
		Lanes:        []relay.LaneBackfill{{Lane: lane, Page: page}},
		Sweep:        &relay.Sweep{Destinations: []string{"default"}, From: 1, Before: 100, Limit: 10, Unknown: true},
		Gaps:         []relay.Range{{From: 1, To: 2}}, GapLimit: 10, Writers: true,
	})
	check("fetch", err)
	_, err = store.Backlog(ctx, map[string]int64{"default": 0}, 10)
	check("backlog", err)
	var s relay.Settlement
	for _, scan := range fetched.Scans {
		for i, row := range scan {
			switch {
			case row.Record == nil:
			case i%2 == 0:
				s.Accepted = append(s.Accepted, relay.Accepted{ID: row.ID, EventID: row.Record.EventID, MessageID: "m", SequenceNumber: "1"})
			default:
				s.DeadLetters = append(s.DeadLetters, relay.DeadLetter{
					ID: row.ID, EventID: row.Record.EventID, Attempts: 1, Code: "C", Reason: "R", Block: true,
				})
			}
		}
	}
	_, err = store.Settle(ctx, id, s)
	check("settle", err)
	check("leave", store.Leave(ctx, id, lease.Era, relay.Position{Low: 2}))
}

// redrives does what the function for redrives and the command line do.
func redrives(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	store := pgadmin.New(pool)
	id := uuid.New()
	check := func(what string, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, pgadmin.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	all := &redrive.Request{Confirm: true}
	one := &redrive.Request{
		EventIDs: []uuid.UUID{id}, Destination: "default", AggregateType: "order", AggregateID: "1", EventType: "placed",
		From: time.Now().Add(-time.Hour), To: time.Now(), IDFrom: 1, IDTo: 100,
	}
	for _, r := range []*redrive.Request{one, all} {
		_, err := store.DeadLetters(ctx, r, 0, 10, true)
		check("dead letters", err)
		_, err = store.BlockedLanes(ctx, r, 10, 10)
		check("blocked lanes", err)
		_, err = store.ReleaseBlocked(ctx, rows.Batch{Request: r, RequestID: "r", Limit: 1})
		check("release blocked", err)
		_, err = store.RedriveDeadLetters(ctx, rows.Batch{Request: r, RequestID: "r", Limit: 10})
		check("redrive dead letters", err)
		_, _, err = store.CountReplay(ctx, r, 0, 10)
		check("count replay", err)
		replay := uuid.New()
		check("start replay", store.StartReplay(ctx, replay, "r", r))
		_, err = store.FindReplay(ctx, replay, 100)
		check("find replay", err)
		_, err = store.CopyReplay(ctx, replay, 10)
		check("copy replay", err)
	}
	_, err := store.Status(ctx, 10)
	check("status", err)
	_, err = store.Lookup(ctx, id)
	check("lookup", err)
	record, err := store.BeginDLQRedrive(ctx, dlq.Begun{RequestID: "r", QueueARN: "q", TargetARN: "t", Request: one})
	check("begin record", err)
	check("end record", store.EndDLQRedrive(ctx, record, &redrive.Answer{}))
	_, err = store.DLQRedrives(ctx, 10)
	check("list records", err)
}

// keeps does what a janitor does, and calls the steps that a run on this little outbox does not need.
func keeps(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	store := pgadmin.New(pool)
	j, err := janitor.New(store, janitor.Config{
		ArchiveRetention: 720 * time.Hour, DeadLetterRetention: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(ctx, time.Now().Add(time.Minute)); err != nil {
		t.Errorf("janitor: %v", err)
	}
	past := time.Now().Add(-time.Hour)
	for what, call := range map[string]func() error{
		"make":                func() error { _, err := store.Make(ctx, 5); return err },
		"list events":         func() error { _, err := store.ListEvents(ctx, 10); return err },
		"seal":                func() error { _, err := store.Seal(ctx, 0, past); return err },
		"archive":             func() error { _, _, err := store.Archive(ctx, 0); return err },
		"unseal":              func() error { _, err := store.Unseal(ctx, 0); return err },
		"move sent":           func() error { _, err := store.MoveSent(ctx, 0, 0, time.Now().Add(-time.Second), 10); return err },
		"move sent default":   func() error { _, err := store.MoveSent(ctx, janitor.DefaultPartition, 0, past, 10); return err },
		"drop vacant":         func() error { _, _, err := store.DropVacant(ctx, 0); return err },
		"list archive":        func() error { _, err := store.ListArchive(ctx, 10); return err },
		"drop archived":       func() error { _, err := store.DropArchived(ctx, 0, past, false); return err },
		"delete archived":     func() error { _, _, err := store.DeleteArchived(ctx, 0, 10, past, 10, true); return err },
		"delete archived too": func() error { _, _, err := store.DeleteArchived(ctx, 0, 10, past, 10, false); return err },
		"list files":          func() error { _, err := store.ListFiles(ctx, 0); return err },
		"forget files":        func() error { return store.ForgetFiles(ctx, 0) },
		"read archive": func() error {
			return store.ReadArchive(ctx, 0, 0, 10, func(*janitor.Row) (bool, error) { return true, nil })
		},
		"delete dead letters": func() error { _, err := store.DeleteDeadLetters(ctx, past, 10); return err },
		"delete redrives":     func() error { _, err := store.DeleteRedrives(ctx, past, 10); return err },
		"expire relays":       func() error { _, err := store.ExpireRelays(ctx, past); return err },
		"health":              func() error { _, err := store.Health(ctx, time.Minute, 10); return err },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
