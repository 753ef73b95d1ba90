package janitor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

const day = "interval '1 day'"

func TestASentPartitionGoesToTheArchiveAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(1000)
	w.sent("25 hours")
	w.close()
	file := query[int64](t, w.pool, "select pg_relation_filenode('outbox.events_p000000')::bigint")
	report := w.run(janitor.Config{})
	if report.Archived != 1 || report.Moved != 0 || report.More || report.LockedSeconds <= 0 || report.LongestLockSeconds > report.LockedSeconds {
		t.Errorf("report %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 1000})
	if got := query[int64](t, w.pool, "select pg_relation_filenode('outbox.archive_p000000')::bigint"); got != file {
		t.Error("the rows were copied")
	}
	if n := query[int](t, w.pool, "select count(*) from pg_index where indrelid = 'outbox.archive_p000000'::regclass"); n != 2 {
		t.Errorf("%d indexes are left, want those of the archive", n)
	}
	w.once(1000)
	if again := w.run(janitor.Config{}); again.Archived != 0 || again.More {
		t.Errorf("the second run: %+v", again)
	}
}

func TestOnlyWhatIsClosedSentAndOldIsArchived(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(w *world)
		unsent  int64
	}{
		"one row is unsent": {func(w *world) {
			w.sent("25 hours")
			w.exec("update outbox.events set sent_at = null, message_id = null where id = 7")
			w.close()
		}, 1},
		"the last row was sent lately": {func(w *world) {
			w.sent("25 hours")
			w.exec("update outbox.events set sent_at = now() where id = 100")
			w.close()
		}, 0},
		"a row between was sent lately": {func(w *world) {
			w.sent("25 hours")
			w.exec("update outbox.events set sent_at = now() where id = 7")
			w.close()
		}, 0},
		"all were sent lately": {func(w *world) {
			w.sent("23 hours")
			w.close()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write(100)
			c.prepare(w)
			report := w.run(janitor.Config{})
			if report.Archived != 0 || report.Moved != 0 || report.PartitionsKept != c.unsent {
				t.Errorf("report %+v", report)
			}
			same(t, w.where(), map[string]int{"outbox.events_p000000": 100})
			if n := query[int](t, w.pool, "select count(*) from pg_constraint where conname = 'being_archived'"); n != 0 {
				t.Error("the partition is left sealed")
			}
		})
	}
}

func TestManyPartitionsAreArchivedAheadOfTheirTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.write(10)
		w.sent("1 second")
		w.close()
	}
	report := w.run(janitor.Config{KeepPartitions: 2})
	if report.Archived != 1 {
		t.Errorf("report %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 10, "outbox.events_p000001": 10, "outbox.events_p000002": 10})
}

func TestAnOpenTransactionKeepsItsPartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("25 hours")
	tx := w.begin()
	if _, err := tx.Exec(t.Context(), "insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', 'late', 'x', '{}')"); err != nil {
		t.Fatal(err)
	}
	w.close()
	report := w.run(janitor.Config{Attempts: 2})
	if report.Archived != 0 || report.Locked == 0 || report.LockedSeconds != 0 {
		t.Errorf("report %+v", report)
	}
	// What it wrote is a day old when it commits, and unsent.
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec("update outbox.events set created_at = now() - " + day + " - " + day + " where aggregate_id = 'late'")
	if report = w.run(janitor.Config{}); report.Archived != 0 || report.PartitionsKept != 1 {
		t.Errorf("after the commit: %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.events_p000000": 101})
	w.sent("25 hours")
	if report = w.run(janitor.Config{}); report.Archived != 1 {
		t.Errorf("after it was sent: %+v", report)
	}
	w.once(101)
}

// A transaction that read or wrote another partition holds the lock of the whole
// as well. The attempt must not make everybody wait behind it.
func TestALongTransactionPutsOffTheArchiveWithoutQueueing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("25 hours")
	w.close()
	tx := w.begin()
	if _, err := tx.Exec(t.Context(), "insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', 'now', 'x', '{}')"); err != nil {
		t.Fatal(err)
	}
	report := w.run(janitor.Config{Attempts: 3})
	if report.Archived != 0 || report.Locked == 0 || report.LockedSeconds != 0 {
		t.Errorf("report %+v", report)
	}
	if n := query[int](t, w.pool, "select count(*) from pg_constraint where conname = 'being_archived'"); n != 0 {
		t.Error("the partition is left sealed")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report = w.run(janitor.Config{}); report.Archived != 1 {
		t.Errorf("after the commit: %+v", report)
	}
}

func TestRowsOfASlowOutboxAreMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(2500)
	w.sent("25 hours")
	w.exec("update outbox.events set sent_at = null, message_id = null where id = 30")
	w.write(10)
	w.sent("1 hour")
	w.exec("update outbox.events set sent_at = null, message_id = null where id = 31")
	report := w.run(janitor.Config{MoveLimit: 100})
	if report.Moved != 2498 || report.Archived != 0 || report.Dropped != 0 {
		t.Errorf("report %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 2498, "outbox.events_p000000": 12})
	if got := query[string](t, w.pool, "select payload::text || headers::text || shard from outbox.archive where id = 1"); !strings.HasPrefix(got, `{"b": 1, "a":2}{"k": "v"}`) {
		t.Errorf("row %s", got)
	}
	w.once(2510)
	// Closed, its rest is moved too, and the table dropped.
	w.exec("update outbox.events set sent_at = now() - interval '25 hours', message_id = 'm'")
	w.close()
	if report = w.run(janitor.Config{}); report.Moved != 12 || report.Dropped != 1 || report.Archived != 0 {
		t.Errorf("after it closed: %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 2510})
	if w.tables()["events_p000000"] {
		t.Error("the empty partition is still there")
	}
}

func TestARedrivenRowOfAnArchivedRangeComesToTheArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("25 hours")
	w.exec("delete from outbox.events where id = 50")
	w.close()
	w.run(janitor.Config{})
	w.exec(`insert into outbox.events (id, aggregate_type, aggregate_id, event_type, payload)
		overriding system value values (50, 'order', '0', 'order.placed', '{}')`)
	for range 2 {
		if report := w.run(janitor.Config{}); report.Moved != 0 || !found(&report, "default_partition") {
			t.Errorf("while it is unsent: %+v", report)
		}
		same(t, w.where(), map[string]int{"outbox.archive_p000000": 99, "outbox.events_default": 1})
	}
	w.sent("25 hours")
	if report := w.run(janitor.Config{}); report.Moved != 1 || found(&report, "default_partition") {
		t.Errorf("after it was sent: %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 100})
	w.once(100)
}

func TestRowsWithoutAPartitionAreRescuedWhenTheyWereSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.draw(7_999_990)
	w.write(30)
	w.sent("25 hours")
	w.exec("update outbox.events set sent_at = null, message_id = null where id = 8000005")
	report := w.run(janitor.Config{})
	// The range that has begun to go there stays there.
	if report.Moved != 29 || query[string](t, w.pool, "select tableoid::regclass::text from outbox.events where id = 8000005") != "outbox.events_default" {
		t.Errorf("report %+v, rows %v", report, w.where())
	}
	if !w.tables()["events_p000009"] || w.tables()["events_p000008"] {
		t.Errorf("tables %v", w.tables())
	}
	w.once(30)
	w.sent("25 hours")
	w.run(janitor.Config{})
	same(t, w.where(), map[string]int{"outbox.archive_p000007": 10, "outbox.archive_p000008": 20})
	// Free again, it gets its partition: nobody else will write there.
	w.run(janitor.Config{})
	if !w.tables()["events_p000008"] {
		t.Errorf("tables %v", w.tables())
	}
}

func TestPartitionsAreMadeAheadByTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if report := w.run(janitor.Config{}); report.Made != 0 || report.Rate != 0 {
		t.Errorf("at rest: %+v", report)
	}
	// A hundred a second, of late: 8.64 million a day.
	w.exec("update outbox.janitor set sampled_at = now() - interval '1000 seconds'")
	w.draw(100_001)
	report := w.run(janitor.Config{})
	if report.Made != 6 || report.Rate < 90 || report.Rate > 101 || report.Health.PartitionsAhead != 9 {
		t.Errorf("at a hundred a second: %+v", report)
	}
	if report = w.run(janitor.Config{MaxAhead: 12, AheadFor: 240 * time.Hour}); report.Made != 3 || report.Health.PartitionsAhead != 12 {
		t.Errorf("bounded: %+v", report)
	}
	// It slows down: the peak is remembered for a while.
	w.exec("update outbox.janitor set sampled_at = now() - interval '6 hours'")
	if report = w.run(janitor.Config{}); report.Rate < 45 || report.Rate > 51 {
		t.Errorf("six hours later: %+v", report)
	}
}

func TestWithoutTimeItSaysThatThereIsMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("25 hours")
	w.close()
	report, err := w.janitor(w.store, janitor.Config{}).Run(t.Context(), time.Now())
	if err != nil || !report.More || report.Archived != 0 || report.Health.EventsPartitions != 4 {
		t.Errorf("report %+v, error %v", report, err)
	}
	if report = w.run(janitor.Config{}); report.More || report.Archived != 1 {
		t.Errorf("with time: %+v", report)
	}
}

func found(r *janitor.Report, code string) bool {
	return slices.ContainsFunc(r.Findings, func(f janitor.Finding) bool { return f.Code == code })
}

func TestWhatIsLeftBehindIsCleanedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`insert into outbox.dead_letters (id, created_at, dead_at, event_id, replays, attempts, shard, aggregate_type, aggregate_id, event_type, destination, payload, code, reason)
		select i, now(), now() - i * interval '1 day', outbox.uuidv7(), 0, 1, 0, 'order', '1', 'x', 'default', '{}', 'c', 'r' from generate_series(1, 20) i`)
	w.exec(`insert into outbox.redrives (redriven_at, row_id, event_id, generation, source, request_id, destination)
		select now() - i * interval '1 day', i, outbox.uuidv7(), 1, 'dead_letters', 'r', 'default' from generate_series(1, 20) i`)
	w.exec(`insert into outbox.relays (relay_id, name, started_at, run_until, lease_until, low, gaps) values
		('00000000-0000-0000-0000-000000000001', 'gone', now(), now(), now() - interval '2 hours', 77, '{[5,6)}'),
		('00000000-0000-0000-0000-000000000002', 'late', now(), now(), now() - interval '1 minute', 0, '{}')`)
	w.exec("update outbox.shards set owner = '00000000-0000-0000-0000-000000000001', covered = shard = 3 where shard in (3, 4)")
	report := w.run(janitor.Config{})
	if report.DeadLetters != 0 || report.Redrives != 0 || report.Relays != 1 {
		t.Errorf("by default: %+v", report)
	}
	if got := query[string](t, w.pool, "select string_agg(low || gaps::text || covered, ' ' order by shard) from outbox.shards where shard in (3, 4) and owner is null"); got != "77{[5,6)}false 0{}false" {
		t.Errorf("positions %q", got)
	}
	report = w.run(janitor.Config{DeadLetterRetention: 240*time.Hour + time.Minute, ArchiveRetention: 360*time.Hour + time.Minute})
	if report.DeadLetters != 10 || report.Redrives != 5 {
		t.Errorf("when told to: %+v", report)
	}
	if !found(&report, "dead_letters") || report.Health.DeadLetters != 10 {
		t.Errorf("health %+v", report.Health)
	}
}

func TestFindingsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if report := w.run(janitor.Config{}); len(report.Findings) != 0 {
		t.Errorf("in good health: %+v", report.Findings)
	}
	w.write(3)
	w.exec("update outbox.events set created_at = now() - interval '10 minutes'")
	w.exec("update outbox.shards set low = 1000, destinations = '{default}', lows = '{1000}'")
	w.exec("insert into outbox.blocked (first_id, blocked_at, event_id, shard, destination, aggregate_type, aggregate_id, reason) values (2, now() - interval '1 hour', outbox.uuidv7(), 0, 'default', 'order', '2', 'r')")
	w.exec("insert into outbox.events (id, aggregate_type, aggregate_id, event_type, payload) overriding system value values (99000000, 'order', 'x', 'x', '{}')")
	w.exec(`insert into outbox.archive (id, created_at, sent_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload)
		select id, created_at, created_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload from outbox.events where id = 1`)
	w.exec("drop table outbox.events_p000001, outbox.events_p000002, outbox.events_p000003")
	w.exec("select setval('outbox.events_id_seq', 999999)")
	health, err := w.store.Health(t.Context(), 5*time.Minute, 1000)
	if err != nil {
		t.Fatal(err)
	}
	// Of the three, one is blocked.
	if health.Unsent != 4 || health.Stale != 3 || health.Behind != 2 || health.Blocked != 1 || health.BlockedSeconds < 3590 || health.OldestSeconds < 590 ||
		health.DefaultRows != 1 || health.ArchiveDefaultRows != 1 || health.PartitionsAhead != 0 || health.LastRun == nil {
		t.Errorf("health %+v", health)
	}
	// The janitor repairs what it can.
	report := w.run(janitor.Config{})
	for _, code := range []string{"unsent_behind_position", "stale", "blocked", "default_partition", "archive_default_partition"} {
		if !found(&report, code) {
			t.Errorf("%s is not among %+v", code, report.Findings)
		}
	}
	if found(&report, "partitions_ahead") || report.Made != 3 {
		t.Errorf("report %+v", report)
	}
}

func TestConfigNamesAllFaults(t *testing.T) {
	t.Parallel()
	err := janitor.Config{
		Ahead: -1, MaxAhead: 5000, KeepPartitions: -1, MoveLimit: -1, ExportRows: -1, ExportBytes: -1, Attempts: -1,
		AheadFor: 1, Retention: 1, AlarmAge: 1, RetryMin: 1, Reserve: 1, ArchiveRetention: -1, DeadLetterRetention: -1,
	}.Validate()
	for _, name := range []string{
		"Ahead", "MaxAhead", "KeepPartitions", "MoveLimit", "ExportRows", "ExportBytes", "Attempts",
		"AheadFor", "Retention", "AlarmAge", "RetryMin", "Reserve", "ArchiveRetention", "DeadLetterRetention",
	} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	for what, cfg := range map[string]janitor.Config{
		"an archive that forgets before the events do": {ArchiveRetention: time.Hour},
		"a target for what is never removed":           {Target: newMemoryTarget()},
	} {
		fault, ok := errors.AsType[*janitor.FieldError](cfg.Validate())
		if !ok || fault.Field != "ArchiveRetention" {
			t.Errorf("%s: %v", what, fault)
		}
		if _, err = janitor.New(nil, cfg); err == nil {
			t.Errorf("New takes %s", what)
		}
	}
	if err = (janitor.Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
