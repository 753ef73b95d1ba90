package pgstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// foreign changes the settings that sessions of the database begin with, in statements that end in "set <name> = <value>".
func foreign(t *testing.T, pool *pgxpool.Pool, settings ...string) {
	t.Helper()
	for _, s := range settings {
		exec(t, pool, fmt.Sprintf("alter database %s set %s", pool.Config().ConnConfig.Database, s))
	}
}

// A role, a database or a connection string may ask for another encoding and other forms of dates. What a pool of
// Connect writes and reads is the same under all of them.
func TestForeignSettingsChangeNothingThatIsWrittenOrRead(t *testing.T) {
	t.Parallel()
	// Direct: a pooler has sessions that began before the database was altered.
	plain := outboxtest.DB(t, outboxtest.Direct())
	foreign(t, plain, "client_encoding = 'LATIN1'", "datestyle = 'German, DMY'", "timezone = 'Asia/Kolkata'",
		"search_path = ''", "intervalstyle = 'sql_standard'", "extra_float_digits = -15", "plan_cache_mode = force_generic_plan", "row_security = off")
	for name, mode := range modes() { //nolint:paralleltest // one table, of which each reads the last row
		t.Run(name, func(t *testing.T) {
			url := plain.Config().ConnString() + "&client_encoding=EUC_JP&datestyle=SQL"
			pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: url, ExecMode: mode})
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			store := pgstore.New(pool)
			if err = store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			e := outbox.Event{AggregateType: "order", AggregateID: `é 🚚 \`, Type: "placed", Payload: []byte(`"日本"`)}
			if _, err = outbox.Enqueue(t.Context(), tx, e); err != nil {
				t.Fatal(err)
			}
			if err = tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			last := query[int64](t, plain, "select max(id) from outbox.events")
			got, err := store.Fetch(t.Context(), relay.Fetch{Shards: allShards(), Scans: []relay.Scan{{After: last - 1, Limit: 10}}})
			if err != nil || len(got.Scans[0]) != 1 {
				t.Fatalf("fetched %+v, %v", got, err)
			}
			r := got.Scans[0][0].Record
			if r.AggregateID != e.AggregateID || string(r.Payload) != string(e.Payload) {
				t.Errorf("read %+v", r.Event)
			}
			if want := query[string](t, plain, "select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from outbox.events where id = $1", last); r.CreatedAt.UTC().Format("2006-01-02 15:04:05.000000") != want {
				t.Errorf("created at %v, want %s", r.CreatedAt, want)
			}
		})
	}
}

// A pool that Connect did not make may read texts wrong, and one such text would stop the reading of all: its
// connections are not used, and the error names the setting.
func TestConnectionWithAnotherEncodingIsNotUsed(t *testing.T) {
	t.Parallel()
	made := outboxtest.DB(t, outboxtest.Direct())
	insert(t, made, "🚚")
	for setting, value := range map[string]string{"client_encoding": "LATIN1", "DateStyle": "German"} {
		config := made.Config()
		config.ConnConfig.RuntimeParams[setting] = value
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		store := pgstore.New(pool)
		_, fetched := store.Fetch(t.Context(), relay.Fetch{Shards: allShards(), Scans: []relay.Scan{{Limit: 10}}})
		for what, err := range map[string]error{"check": store.Check(t.Context()), "fetch": fetched} {
			if !errors.Is(err, pgstore.ErrSettings) || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), value) {
				t.Errorf("%s with %s %s: error is %v", what, setting, value, err)
			}
		}
	}
}

func TestLoginThatIsReadOnlyIsNamed(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	foreign(t, pool, "default_transaction_read_only = on")
	pool.Reset()
	store := pgstore.New(pool)
	_, joined := store.Join(t.Context(), relay.Join{Relays: 1, TTL: ttl})
	for what, err := range map[string]error{"check": store.Check(t.Context()), "join": joined} {
		if !errors.Is(err, pgstore.ErrReadOnly) || !strings.Contains(err.Error(), "default_transaction_read_only is on for the login") {
			t.Errorf("%s: error is %v", what, err)
		}
	}
}

// Row level security hides rows, also those by which a schema is recognised.
func TestRowLevelSecurityIsNamed(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Direct())
	exec(t, pool, "alter table outbox.migrations enable row level security")
	exec(t, pool, "alter table outbox.events enable row level security")
	own := login(t, pool, "outbox_relay")
	for _, setting := range []string{"on", "off"} {
		foreign(t, pool, "row_security = "+setting)
		own.Reset()
		err := pgstore.New(own).Check(t.Context())
		if !errors.Is(err, pgstore.ErrSettings) || errors.Is(err, pgstore.ErrSchema) || !strings.Contains(err.Error(), "row level security is on for outbox.events, outbox.migrations") {
			t.Errorf("check with row_security %s = %v", setting, err)
		}
	}
	if err := pgstore.New(pool).Check(t.Context()); err != nil {
		t.Errorf("check by a superuser, from whom nothing is hidden = %v", err)
	}
}

// What a role allows the statements of a relay in time is no bound for a migration, and a text with backslashes is
// made as it is written.
func TestForeignSettingsChangeNothingThatIsMigrated(t *testing.T) {
	t.Parallel()
	empty := outboxtest.DB(t, outboxtest.Unmigrated())
	foreign(t, empty, "standard_conforming_strings = off", "statement_timeout = '250ms'", "search_path = ''", "datestyle = 'German'",
		"client_encoding = 'LATIN1'", "quote_all_identifiers = on", "timezone = 'Asia/Kolkata'")
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: empty.Config().ConnString()})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pgstore.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if got, want := dump(t, empty), dump(t, outboxtest.DB(t)); got != want {
		t.Error("the schema is another one")
	}
}
