package pgstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// recordScanner reads rows that have the columns of an event, one at a time: each field is a column of the row read
// last. eventID is null where a row came as an id alone. Equal types and destinations, which repeat, share one string.
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
	payloadBytes             pgtype.Int4
	// content keeps the content of the rows within the bound of the fetch.
	content
	// targets are pointers to all other fields, in the order of the columns, as [pgx.Rows.Scan] takes them.
	targets []any
}

// newRecordScanner returns a scanner for the rows of all reads of one fetch, whose content has at most the given number
// of bytes, 0 for no bound.
func newRecordScanner(bytes int) *recordScanner {
	seen := make(map[string]string)
	s := &recordScanner{content: newContent(bytes)}
	s.aggregateType.seen, s.typ.seen, s.dest.seen = seen, seen, seen
	s.targets = []any{
		&s.id, &s.createdAt, &s.eventID, &s.replays, &s.replayOf, &s.shard,
		&s.aggregateType, &s.aggregateID, &s.typ, &s.dest, &s.payload, &s.headers, &s.payloadBytes,
	}
	return s
}

// collect returns all rows of a scan. A row that came as an id alone has no Record. capacity is how many rows the scan
// asked for, which only sizes the result.
func (s *recordScanner) collect(rows pgx.Rows, capacity int) ([]relay.Row, error) {
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

// backfilled returns the records of the page p, whose rows are those of outbox.read_deferred or outbox.read_unsent. The
// column place counts the unsent rows that were looked at up to a row. When p.Examine ends the page, its last row is
// there as an id alone, if not as a record. Next is the id behind the page when p.Limit or p.Examine
// ended it, and else p.Before.
func (s *recordScanner) backfilled(rows pgx.Rows, p relay.Page) (relay.Backfilled, error) {
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
	out.Next = p.Before
	if n > 0 && (n == p.Limit || place == int64(p.Examine)) {
		out.Next = s.id + 1
	}
	return out, rows.Err() //nolint:wrapcheck // named by the caller
}

// gaps reads the rows that were found in gaps into got, at most limit. One row more says that there are more: then
// got.Through is the last id that was read. It fails when the ids do not ascend.
func (s *recordScanner) gaps(rows pgx.Rows, limit int, got *relay.GapRows) error {
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
	return rows.Err() //nolint:wrapcheck // named by the caller
}

// record returns the event of the row read last, and takes the payload out of s instead of copying it. A record whose
// content is withheld has neither payload nor headers. It fails only when the headers are no JSON object.
func (s *recordScanner) record() (*outbox.Record, error) {
	r := &outbox.Record{
		Event: outbox.Event{
			EventID:       s.eventID.Bytes,
			AggregateType: s.aggregateType.text,
			AggregateID:   s.aggregateID.String,
			Type:          s.typ.text,
			Destination:   s.dest.text,
		},
		ID:        s.id,
		Shard:     int(s.shard.Int16),
		CreatedAt: s.createdAt.Time,
		Replays:   int(s.replays.Int32),
		ReplayOf:  s.replayOf.Int64,
	}
	payload := s.payload
	s.payload = nil
	if !s.keeps(s.id, int(s.payloadBytes.Int32), len(s.headers), payload != nil) {
		return r, nil
	}
	return r, fill(r, payload, s.headers)
}

// fill sets the payload and the headers of a record. It fails only when the headers are no JSON object.
func fill(r *outbox.Record, payload, headers []byte) error {
	r.Payload = payload
	if headers == nil {
		return nil
	}
	parsed, err := parseHeaders(headers)
	if err != nil {
		return fmt.Errorf("headers of event %d: %w", r.ID, err)
	}
	r.Headers = parsed
	return nil
}

// parseHeaders returns a JSON object as headers. A value that is no string, which a writer in another language may have
// put there, becomes its JSON text: one odd header must not stop the reading of all events.
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

// internedText is the target of a text column: text is the value of the row read last. Where seen has an equal string
// that one is used again, and any other is added to seen, which several columns share.
type internedText struct {
	seen map[string]string
	text string
}

// ScanBytes implements [pgtype.BytesScanner]: it sets text to src.
func (t *internedText) ScanBytes(src []byte) error {
	if text, ok := t.seen[string(src)]; ok {
		t.text = text
		return nil
	}
	t.text = string(src)
	t.seen[t.text] = t.text
	return nil
}
