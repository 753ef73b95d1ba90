package janitor_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

// memoryTarget keeps files in memory.
type memoryTarget struct {
	mu    sync.Mutex
	files map[string][]byte
	fail  error
}

func newMemoryTarget() *memoryTarget { return &memoryTarget{files: map[string][]byte{}} }

func (m *memoryTarget) Put(_ context.Context, key string, content []byte, _ [sha256.Size]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.files[key] = slices.Clone(content)
	return nil
}

func (m *memoryTarget) Verify(_ context.Context, key string, size int64, sum [sha256.Size]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if content, ok := m.files[key]; !ok || int64(len(content)) != size || sha256.Sum256(content) != sum {
		return janitor.ErrAltered
	}
	return nil
}

func (*memoryTarget) Location(key string) string { return "memory:" + key }

// rows reads all rows of all files.
func (m *memoryTarget) rows(t *testing.T) []janitor.Row {
	t.Helper()
	var rows []janitor.Row
	for _, key := range slices.Sorted(maps.Keys(m.files)) {
		gz, err := gzip.NewReader(bytes.NewReader(m.files[key]))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(gz)
		for lines.Scan() {
			var r janitor.Row
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatalf("%s: %v: %s", key, err, lines.Text())
			}
			rows = append(rows, r)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

const month = 720 * time.Hour

func TestTheArchiveIsKeptForEverByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(10)
	w.sent("9000 days")
	w.close()
	w.run(janitor.Config{})
	w.run(janitor.Config{})
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 10})
}

func TestRetentionDropsWholePartitionsOfTheArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("31 days")
	w.close()
	w.write(100)
	w.sent("31 days")
	w.exec("update outbox.events set sent_at = now() - interval '29 days' where id = 1000050")
	w.close()
	report := w.run(janitor.Config{ArchiveRetention: month})
	if report.Archived != 2 || report.Expired != 1 {
		t.Errorf("report %+v", report)
	}
	// One young row keeps its partition.
	same(t, w.where(), map[string]int{"outbox.archive_p000001": 100})
}

func TestRowsAreExportedBeforeTheyAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(2500)
	w.exec("update outbox.events set payload = '{ \"text\" : \"<a> & \\u00fc \",\n \"n\": 1.50 }', headers = null where id = 7")
	w.sent("31 days")
	w.close()
	target := newMemoryTarget()
	report := w.run(janitor.Config{ArchiveRetention: month, Target: target, Prefix: "orders", ExportRows: 1200})
	if report.Expired != 1 || report.Files != 3 || report.FileRows != 2500 || report.FileBytes == 0 {
		t.Errorf("report %+v", report)
	}
	same(t, w.where(), map[string]int{})
	rows := target.rows(t)
	if len(rows) != 2500 || rows[0].ID != 1 || rows[2499].ID != 2500 {
		t.Fatalf("%d rows", len(rows))
	}
	if r := rows[6]; string(r.Payload) != `{"text":"<a> & \u00fc ","n":1.50}` || r.Headers != nil || r.MessageID != "m7" || r.SequenceNumber != "7" ||
		r.AggregateID != "7" || r.EventType != "order.placed" || r.SentAt.IsZero() || r.EventID == "" {
		t.Errorf("row %+v", r)
	}
	if r := rows[7]; string(r.Headers) != `{"k":"v"}` {
		t.Errorf("headers %s", r.Headers)
	}
	for key := range target.files {
		if !strings.HasPrefix(key, "orders/archive_p000000/0000000000000") || !strings.HasSuffix(key, ".jsonl.gz") {
			t.Errorf("key %s", key)
		}
	}
	if n := query[int](t, w.pool, "select count(*) from outbox.exports where removed_at is not null and location like 'memory:orders/%'"); n != 3 {
		t.Errorf("%d files are noted", n)
	}
}

func TestWithoutAProvenFileNothingIsDropped(t *testing.T) {
	t.Parallel()
	refused := errors.New("access denied")
	for name, spoil := range map[string]func(m *memoryTarget){
		"the target refuses": func(m *memoryTarget) { m.fail = refused },
		"a file is lost":     func(m *memoryTarget) { clear(m.files) },
		"a file is altered": func(m *memoryTarget) {
			for k := range m.files {
				m.files[k][20] ^= 1
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write(100)
			w.sent("31 days")
			w.close()
			w.run(janitor.Config{}) // to the archive
			target := newMemoryTarget()
			if target.fail == nil {
				e := janitor.Exporter{Store: w.store, Target: target, Rows: 1000, Bytes: 1 << 20}
				f, whole, err := e.File(t.Context(), 0, 0, time.Time{})
				if err != nil || !whole {
					t.Fatal(err)
				}
				if err = w.store.RecordFile(t.Context(), *f); err != nil {
					t.Fatal(err)
				}
			}
			spoil(target)
			if target.fail != nil {
				if err := w.store.ForgetFiles(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
			}
			cfg := janitor.Config{ArchiveRetention: month, Target: target}
			report, err := w.janitor(w.store, cfg).Run(t.Context(), time.Now().Add(time.Minute))
			if err == nil || report.Expired != 0 {
				t.Errorf("report %+v, error %v", report, err)
			}
			same(t, w.where(), map[string]int{"outbox.archive_p000000": 100})
			// Repaired, the next run writes it anew.
			target.fail = nil
			if report = w.run(cfg); report.Expired != 1 || len(target.rows(t)) != 100 {
				t.Errorf("after the repair: %+v", report)
			}
		})
	}
}

func TestRowsThatCameAfterTheExportAreExportedToo(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"a row more":    "insert into outbox.archive select 5000, created_at, sent_at, outbox.uuidv7(), replays, replay_of, aggregate_type, aggregate_id, event_type, destination, payload, headers, message_id, sequence_number from outbox.archive where id = 5",
		"another value": "update outbox.archive set message_id = 'other' where id = 5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write(100)
			w.sent("31 days")
			w.close()
			w.run(janitor.Config{})
			target := newMemoryTarget()
			e := janitor.Exporter{Store: w.store, Target: target, Rows: 1000, Bytes: 1 << 20}
			f, _, err := e.File(t.Context(), 0, 0, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if err = w.store.RecordFile(t.Context(), *f); err != nil {
				t.Fatal(err)
			}
			w.exec(strings.Replace(change, "insert into outbox.archive select", "insert into outbox.archive (id, created_at, sent_at, event_id, replays, replay_of, aggregate_type, aggregate_id, event_type, destination, payload, headers, message_id, sequence_number) select", 1))
			if outcome, err := w.store.DropArchived(t.Context(), 0, time.Now(), true); err != nil || outcome != janitor.Changed {
				t.Errorf("drop = %v, %v", outcome, err)
			}
			want := query[int](t, w.pool, "select count(*) from outbox.archive")
			cfg := janitor.Config{ArchiveRetention: month, Target: target}
			w.run(cfg)
			report := w.run(cfg)
			rows := target.rows(t)
			ids := map[int64]string{}
			for _, r := range rows {
				ids[r.ID] += r.MessageID + " "
			}
			if len(ids) != want || len(w.where()) != 0 {
				t.Errorf("report %+v: %d rows of %d exported, left %v", report, len(ids), want, w.where())
			}
			if strings.HasPrefix(change, "update") && !strings.Contains(ids[5], "other") {
				t.Errorf("row 5 was exported as %q", ids[5])
			}
		})
	}
}

func TestASlowOutboxIsExportedOnceADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(100)
	w.sent("30 days 1 hour")
	w.run(janitor.Config{})
	target := newMemoryTarget()
	cfg := janitor.Config{ArchiveRetention: month, Target: target, ExportRows: 40}
	if report := w.run(cfg); report.Files != 0 || report.ExpiredRows != 0 {
		t.Errorf("within the day: %+v", report)
	}
	w.exec("update outbox.archive set sent_at = sent_at - interval '1 day' where id < 60")
	w.exec("update outbox.archive set sent_at = now() where id = 90")
	if report := w.run(cfg); report.Files != 3 || report.ExpiredRows != 89 || report.Expired != 0 {
		t.Errorf("after it: %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 11})
	if rows := target.rows(t); len(rows) != 89 {
		t.Errorf("%d rows exported", len(rows))
	}
	// Without a target they are just deleted, those behind a young one as well.
	w.exec("update outbox.settings set export_required = false")
	w.exec("update outbox.archive set sent_at = case id when 95 then now() else now() - interval '31 days' end")
	if report := w.run(janitor.Config{ArchiveRetention: month}); report.ExpiredRows != 10 {
		t.Errorf("without a target: %+v", report)
	}
	same(t, w.where(), map[string]int{"outbox.archive_p000000": 1})
}
