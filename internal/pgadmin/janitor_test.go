package pgadmin_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

func TestJanitorRoleIsEnoughForAJanitorAndNoMore(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	own := login(t, pool, "outbox_janitor")
	for range 3 {
		insert(t, pool, "a")
	}
	exec(t, pool, "update outbox.events set created_at = now() - interval '90 days', sent_at = now() - interval '90 days', message_id = 'm'")
	exec(t, pool, "select setval('outbox.events_id_seq', 2500000)")
	insert(t, pool, "b")
	exec(t, pool, "update outbox.events set created_at = now() - interval '90 days', sent_at = now() - interval '90 days', message_id = 'm' where sent_at is null")
	insert(t, pool, "c")
	j, err := janitor.New(newStore(own), janitor.Config{ArchiveRetention: 720 * time.Hour, DeadLetterRetention: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	report, err := j.Run(t.Context(), time.Now().Add(time.Minute))
	if err != nil || report.Archived != 1 || report.Expired != 1 || report.Dropped != 1 || report.Moved != 1 || report.ExpiredRows != 1 {
		t.Errorf("report %+v, error %v", report, err)
	}
	if n := query[int](t, pool, "select count(*) from outbox.events"); n != 1 {
		t.Errorf("%d events are left, want the unsent one", n)
	}
	for _, sql := range []string{
		"delete from outbox.events",
		"update outbox.events set sent_at = now(), message_id = 'm'",
		"insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', '1', 'placed', '{}')",
		"delete from outbox.archive",
		"delete from outbox.dead_letters",
		"drop table outbox.events_p000002",
		"alter table outbox.events detach partition outbox.events_p000002",
		"select outbox.make_archive(7)",
		"update outbox.janitor set last_id = 0",
		"delete from outbox.exports",
	} {
		_, err := own.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			t.Errorf("%s: error = %v, want permission denied", sql, err)
		}
	}
}

// Whoever calls the steps out of turn, or with other arguments than the janitor,
// moves nothing that was not sent.
func TestNoStepMovesOrDropsAnUnsentRow(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	id := insert(t, pool, "a")
	exec(t, pool, "select setval('outbox.events_id_seq', 5000000)")
	const unsealed = "unsealed"
	for sql, want := range map[string]string{
		"select outbox.seal_partition(0, 'infinity')":                                          "unsent",
		"select outbox.validate_partition(0)":                                                  unsealed,
		"select outcome from outbox.archive_partition(0)":                                      unsealed,
		"select outcome from outbox.drop_vacant(0)":                                            "full",
		"select moved::text from outbox.move_sent(0, 0, clock_timestamp(), 100)":               "0",
		"select moved::text from outbox.move_sent(0, 0, 'infinity', 100)":                      "0",
		"select outbox.drop_archived(0, 'infinity', false)":                                    "gone",
		"select deleted::text from outbox.delete_archived(0, 999999, 'infinity', 1000, false)": "0",
	} {
		if got := query[string](t, pool, sql); got != want {
			t.Errorf("%s = %s, want %s", sql, got, want)
		}
	}
	// A seal that somebody put there by hand proves nothing before it was validated.
	exec(t, pool, "alter table outbox.events_p000000 add constraint being_archived check (sent_at is not null) not valid")
	if got := query[string](t, pool, "select outcome from outbox.archive_partition(0)"); got != unsealed {
		t.Errorf("with a seal that is not valid: %s", got)
	}
	if got := query[string](t, pool, "select outbox.validate_partition(0)"); got != "young" {
		t.Errorf("validated: %s", got)
	}
	// Nor does one that says something else: the archive itself asks for more.
	exec(t, pool, "alter table outbox.events_p000000 drop constraint being_archived, add constraint being_archived check (id > 0)")
	if got, err := pool.Exec(t.Context(), "select outbox.archive_partition(0)"); err == nil {
		t.Errorf("with another seal: %s", got)
	}
	if got := query[string](t, pool, "select tableoid::regclass::text from outbox.events where id = $1::bigint and sent_at is null", id); got != "outbox.events_p000000" {
		t.Errorf("the row is in %s", got)
	}
}

// The time in a seal is that of the call, whatever form the session writes dates in: German style names the zone of
// India by letters that are read as another zone.
func TestSealHasTheTimeThatItWasGiven(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	id := insert(t, pool, "a")
	exec(t, pool, "update outbox.events set sent_at = '2026-01-02 03:04:05.678901Z', message_id = 'm' where id = $1", id)
	exec(t, pool, "select setval('outbox.events_id_seq', 5000000)")
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for _, s := range []string{
		"set local timezone = 'Asia/Kolkata'", "set local datestyle = 'German, DMY'",
		"select outbox.seal_partition(0, '2026-06-07 08:09:10.111213Z')",
		"set local timezone = 'UTC'", "set local datestyle = 'ISO'",
	} {
		if _, err = tx.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	seal := query[string](t, tx, "select coalesce(string_agg(pg_get_constraintdef(k.oid), ''), 'none') from pg_constraint k where k.conname = 'being_archived'")
	if !strings.Contains(seal, "2026-06-07 08:09:10.111213+00") {
		t.Errorf("the seal is %s", seal)
	}
}
