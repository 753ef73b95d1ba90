package pgstore

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	scanSQL     = "select * from outbox.read_new($1::bigint, $2::smallint[], $3::integer)"
	backfillSQL = "select * from outbox.read_deferred($1::text, $2::text, $3::text, $4::bigint, $5::smallint[], $6::integer, $7::integer, $8::boolean)"
	sweepSQL    = "select * from outbox.read_unsent($1::bigint, $2::bigint, $3::smallint[], $4::integer)"
	gapsSQL     = "select * from outbox.read_gaps($1::bigint[], $2::bigint[], $3::smallint[], $4::integer)"
	backlogSQL  = "select pending, oldest from outbox.read_backlog($1::bigint, $2::integer)"
)

//go:embed sql/writers.sql
var writersSQL string

// Fetch implements [relay.Reader]. The statements go to the server as one batch, in the order of the fields of
// [relay.Fetch]; without any it makes no call. Each takes a snapshot of its own, later than the one before it:
// that needs the isolation level read committed, without which [Store.Join] fails.
func (s *Store) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	var got relay.Fetched
	batch := fetchBatch(f)
	if batch.Len() == 0 {
		return got, nil
	}
	err := s.do(ctx, "fetch", func(conn *pgxpool.Conn) error {
		results := conn.SendBatch(ctx, batch)
		err := s.readBatch(results, f, &got)
		return cmp.Or(err, results.Close())
	})
	if err != nil {
		return relay.Fetched{}, err
	}
	return got, nil
}

// fetchBatch returns the statements of f, in the order of its fields. The method readBatch reads the answers in
// the same order.
func fetchBatch(f relay.Fetch) *pgx.Batch {
	var batch pgx.Batch
	shards := smallints(f.Shards)
	for _, scan := range f.Scans {
		of := shards
		if scan.Shards != nil {
			of = smallints(scan.Shards)
		}
		batch.Queue(scanSQL, scan.After, of, rowLimit(scan.Limit))
	}
	backfill := func(lane outbox.Lane, p relay.Page, blocked bool) {
		batch.Queue(backfillSQL, lane.Destination, lane.AggregateType, lane.AggregateID, p.From, shards,
			rowLimit(p.Examine), rowLimit(p.Limit), blocked)
	}
	for _, b := range f.Destinations {
		backfill(outbox.Lane{Destination: b.Destination}, b.Page, false)
	}
	for _, b := range f.Searches {
		backfill(b.Lane, searchPage(b), true)
	}
	for _, b := range f.Lanes {
		backfill(b.Lane, b.Page, false)
	}
	if f.Sweep != nil {
		batch.Queue(sweepSQL, f.Sweep.From, f.Sweep.Before, shards, rowLimit(f.Sweep.Limit))
	}
	if f.Writers {
		batch.Queue(writersSQL)
	}
	if len(f.Gaps) > 0 {
		// One more than the limit tells that there are more.
		from, to := ends(f.Gaps)
		batch.Queue(gapsSQL, from, to, shards, rowLimit(f.GapLimit+1))
	}
	return &batch
}

// readBatch reads the answers to the statements of f, in the order of fetchBatch, into got. Its errors begin
// with the kind of read.
func (s *Store) readBatch(results pgx.BatchResults, f relay.Fetch, got *relay.Fetched) error {
	scanner := newRecordScanner()
	for _, scan := range f.Scans {
		rows, _ := results.Query()
		found, err := scanner.collect(rows, scan.Limit)
		if err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		got.Scans = append(got.Scans, found)
	}
	if err := scanner.backfills(results, f, got); err != nil {
		return err
	}
	if f.Writers {
		rows, _ := results.Query()
		writers, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("writers: %w", err)
		}
		got.Writers = s.writers.see(writers)
	}
	if len(f.Gaps) > 0 {
		rows, _ := results.Query()
		if err := scanner.gaps(rows, f.GapLimit, &got.Gaps); err != nil {
			return fmt.Errorf("gaps: %w", err)
		}
	}
	return nil
}

// searchPage returns the page that answers a search when it is read as a backfill of the lane: its first row.
func searchPage(b relay.LaneSearch) relay.Page {
	return relay.Page{From: b.From, Limit: 1, Examine: b.Examine}
}

// backfills reads the answers to the Destinations, Searches, Lanes and the Sweep of f into got, in this order.
func (s *recordScanner) backfills(results pgx.BatchResults, f relay.Fetch, got *relay.Fetched) error {
	page := func(p relay.Page) (relay.Backfilled, error) {
		rows, _ := results.Query()
		return s.backfilled(rows, p)
	}
	for _, b := range f.Destinations {
		found, err := page(b.Page)
		if err != nil {
			return fmt.Errorf("backfill of a destination: %w", err)
		}
		got.Destinations = append(got.Destinations, found)
	}
	for _, b := range f.Searches {
		found, err := page(searchPage(b))
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		start := relay.LaneStart{Next: found.Next}
		if len(found.Records) > 0 {
			start = relay.LaneStart{First: found.Records[0].ID}
		}
		got.Searches = append(got.Searches, start)
	}
	for _, b := range f.Lanes {
		found, err := page(b.Page)
		if err != nil {
			return fmt.Errorf("backfill of a lane: %w", err)
		}
		got.Lanes = append(got.Lanes, found)
	}
	if f.Sweep != nil {
		// Nothing but the limit ends the page before its last id.
		found, err := page(relay.Page{Limit: f.Sweep.Limit, Examine: math.MaxInt})
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		found.Next = cmp.Or(found.Next, f.Sweep.Before)
		got.Sweep = found
	}
	return nil
}

// Backlog implements [relay.Reader].
func (s *Store) Backlog(ctx context.Context, low int64, limit int) (relay.Backlog, error) {
	var b relay.Backlog
	var oldest float64
	err := s.do(ctx, "backlog", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, backlogSQL, low, rowLimit(limit)).Scan(&b.Pending, &oldest)
	})
	b.Oldest = max(0, time.Duration(oldest*float64(time.Second)))
	return b, err
}

// rowLimit returns n as statements take it: at least 0 and at most the largest int32.
func rowLimit(n int) int32 {
	return int32(min(max(n, 0), math.MaxInt32)) //nolint:gosec // bounded here
}

// recordScanner reads rows that have the columns of an event, one at a time. Types and destinations are few and
// repeat: rows with equal ones share one string. eventID is null where a row comes as an id alone.
type recordScanner struct {
	id                       int64
	createdAt                pgtype.Timestamptz
	eventID                  pgtype.UUID
	replays                  pgtype.Int4
	replayOf                 pgtype.Int8
	shard                    pgtype.Int2
	aggregateType, typ, dest internedText
	aggregateID              pgtype.Text
	payload, headers         []byte
	// targets are pointers to the fields above, in the order of the columns, for Scan.
	targets []any
}

// newRecordScanner returns a scanner for all rows of one fetch.
func newRecordScanner() *recordScanner {
	seen := make(map[string]string)
	s := &recordScanner{}
	s.aggregateType.seen, s.typ.seen, s.dest.seen = seen, seen, seen
	s.targets = []any{
		&s.id, &s.createdAt, &s.eventID, &s.replays, &s.replayOf, &s.shard,
		&s.aggregateType, &s.aggregateID, &s.typ, &s.dest, &s.payload, &s.headers,
	}
	return s
}

// collect reads all rows of a scan and closes rows. capacity is the number of rows asked for, and only sizes
// the result.
func (s *recordScanner) collect(rows pgx.Rows, capacity int) ([]relay.Row, error) {
	defer rows.Close()
	out := make([]relay.Row, 0, min(capacity, 64))
	for rows.Next() {
		if err := rows.Scan(s.targets...); err != nil {
			return nil, err //nolint:wrapcheck // named by the caller
		}
		row := relay.Row{ID: s.id}
		if s.eventID.Valid {
			record, err := s.record()
			if err != nil {
				return nil, err
			}
			row.Record = record
		}
		out = append(out, row)
	}
	return out, rows.Err() //nolint:wrapcheck // named by the caller
}

// backfilled reads the rows of the page p, and closes rows. The column place counts the unsent rows examined up
// to a row. The last row examined comes as an id alone when it is not among those asked for, so that the next
// page can begin behind it. Next is set when p.Limit or p.Examine ended the page.
func (s *recordScanner) backfilled(rows pgx.Rows, p relay.Page) (relay.Backfilled, error) {
	defer rows.Close()
	var out relay.Backfilled
	var place int64
	n := 0
	targets := append(slices.Clone(s.targets), &place)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return out, err //nolint:wrapcheck // named by the caller
		}
		if n++; s.eventID.Valid {
			record, err := s.record()
			if err != nil {
				return out, err
			}
			out.Records = append(out.Records, *record)
		}
	}
	if n > 0 && (n == p.Limit || place == int64(p.Examine)) {
		out.Next = s.id + 1
	}
	return out, rows.Err() //nolint:wrapcheck // named by the caller
}

// gaps reads the rows in the gaps into got, at most limit, and closes rows. One row more says that there are
// more: then got.Through is set. It fails when the ids do not ascend.
func (s *recordScanner) gaps(rows pgx.Rows, limit int, got *relay.GapRows) error {
	defer rows.Close()
	var blocked pgtype.Bool
	targets := append(slices.Clone(s.targets), &blocked)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err //nolint:wrapcheck // named by the caller
		}
		n := len(got.IDs)
		if n > 0 && got.IDs[n-1] >= s.id {
			return errors.New("rows are not in the order of their ids")
		}
		if n == limit {
			got.Through = got.IDs[n-1]
			break
		}
		got.IDs = append(got.IDs, s.id)
		if !s.eventID.Valid {
			continue
		}
		record, err := s.record()
		if err != nil {
			return err
		}
		if blocked.Bool {
			got.Blocked = append(got.Blocked, relay.BlockedRow{ID: record.ID, Shard: record.Shard, Lane: record.Lane()})
			continue
		}
		got.Records = append(got.Records, *record)
	}
	rows.Close()
	return rows.Err() //nolint:wrapcheck // named by the caller
}

// record returns the event of the row read last. The payload is handed over, not copied. It fails only when the
// headers are no JSON object.
func (s *recordScanner) record() (*outbox.Record, error) {
	r := &outbox.Record{
		Event: outbox.Event{
			EventID:       s.eventID.Bytes,
			AggregateType: s.aggregateType.text,
			AggregateID:   s.aggregateID.String,
			Type:          s.typ.text,
			Destination:   s.dest.text,
			Payload:       s.payload,
		},
		ID:        s.id,
		Shard:     int(s.shard.Int16),
		CreatedAt: s.createdAt.Time,
		Replays:   int(s.replays.Int32),
		ReplayOf:  s.replayOf.Int64,
	}
	s.payload = nil
	if s.headers != nil {
		headers, err := parseHeaders(s.headers)
		if err != nil {
			return nil, fmt.Errorf("headers of event %d: %w", s.id, err)
		}
		r.Headers = headers
	}
	return r, nil
}

// parseHeaders reads a JSON object. A value that is no string, which a writer
// in another language may have put there, is kept as its JSON text: one odd
// header must not stop the reading of all events.
func parseHeaders(text []byte) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err //nolint:wrapcheck // named by the caller
	}
	headers := make(map[string]string, len(raw))
	for key, value := range raw {
		var s string
		if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
			s = string(value)
		}
		headers[key] = s
	}
	return headers, nil
}

// internedText reads a text column. For a text that is in seen it uses that string instead of a new one; any
// other is added to seen.
type internedText struct {
	seen map[string]string
	text string
}

// ScanBytes implements [pgtype.BytesScanner].
func (t *internedText) ScanBytes(src []byte) error {
	if text, ok := t.seen[string(src)]; ok {
		t.text = text
		return nil
	}
	t.text = string(src)
	t.seen[t.text] = t.text
	return nil
}
