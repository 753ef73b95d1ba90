package pgstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const contentSQL = "select * from outbox.read_content($1::bigint[])"

// inlineBytes is the least size of a payload up to which it comes with its row: larger ones may take a second round trip.
const inlineBytes = 4 << 10

// inline returns the most bytes of payload that are to come with a row of f: such that the rows of all its reads
// together have at most f.Bytes, or inlineBytes each if that is more.
func inline(f relay.Fetch) int {
	if f.Bytes == 0 {
		return math.MaxInt32
	}
	rows := 1
	for _, scan := range f.Scans {
		rows += scan.Limit
	}
	for _, b := range f.Destinations {
		rows += b.Limit
	}
	for _, b := range f.Lanes {
		rows += b.Limit
	}
	if f.Sweep != nil {
		rows += f.Sweep.Limit
	}
	if len(f.Gaps) > 0 {
		rows += f.GapLimit
	}
	return max(inlineBytes, f.Bytes/rows)
}

// content bounds the bytes of payloads and headers that one fetch keeps.
type content struct {
	// bytes is the bound, kept what the records read so far have.
	bytes, kept int
	// withheld has the most bytes that the content of each record may have that was read without it, by id.
	withheld map[int64]int
}

// newContent returns a content of at most the given number of bytes, 0 for no bound.
func newContent(bytes int) content {
	return content{bytes: cmp.Or(bytes, math.MaxInt), withheld: map[int64]int{}}
}

// keeps says whether the content of a row, of the given sizes, is kept: it came with the row, and there is room for it.
// Otherwise the row is noted as one without its content, and with as many bytes of headers as a row may have.
func (c *content) keeps(id int64, payload, headers int, came bool) bool {
	size := payload + headers
	if !came || size > c.bytes-c.kept {
		c.withheld[id] = payload + outbox.MaxHeaderBytes
		return false
	}
	c.kept += size
	return true
}

// size returns the bytes of the content of a record, the most that it may have for one that was read without it.
func (c *content) size(r *outbox.Record) int {
	if r.Payload == nil {
		return c.withheld[r.ID]
	}
	n := len(r.Payload)
	for k, v := range r.Headers {
		n += len(k) + len(v)
	}
	return n
}

// complete ends the reads of got that have more than the bound, and reads the content of the records left that came
// without it. A record that is not there any more, or was redriven since, is left out, as if the read that brought it had
// been a little later.
func (c *content) complete(ctx context.Context, conn *pgxpool.Conn, got *relay.Fetched) error {
	if len(c.withheld) == 0 {
		return nil
	}
	got.Bound(c.bytes, c.size)
	missing := map[int64][]*outbox.Record{}
	var ids []int64
	for r := range records(got) {
		if r.Payload != nil {
			continue
		}
		if missing[r.ID] == nil {
			ids = append(ids, r.ID)
		}
		missing[r.ID] = append(missing[r.ID], r)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	if err := readContent(ctx, conn, ids, missing); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	dropIncomplete(got)
	return nil
}

// readContent reads the content of the rows of the ids into the records of missing, of which several may be of one row.
func readContent(ctx context.Context, conn *pgxpool.Conn, ids []int64, missing map[int64][]*outbox.Record) error {
	rows, err := conn.Query(ctx, contentSQL, ids)
	if err != nil {
		return err //nolint:wrapcheck // named by the caller
	}
	var (
		id               int64
		eventID          pgtype.UUID
		replays          int32
		payload, headers []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &eventID, &replays, &payload, &headers}, func() error {
		for _, r := range missing[id] {
			if r.EventID != eventID.Bytes || r.Replays != int(replays) {
				continue
			}
			if fault := fill(r, payload, headers); fault != nil {
				return fault
			}
		}
		payload = nil
		return nil
	})
	return err //nolint:wrapcheck // named by the caller
}

// records yields the records of all reads of got.
func records(got *relay.Fetched) func(yield func(*outbox.Record) bool) {
	return func(yield func(*outbox.Record) bool) {
		for _, rows := range got.Scans {
			for i := range rows {
				if r := rows[i].Record; r != nil && !yield(r) {
					return
				}
			}
		}
		for _, page := range pages(got) {
			for i := range *page {
				if !yield(&(*page)[i]) {
					return
				}
			}
		}
	}
}

// pages returns the records of all reads of got but the scans.
func pages(got *relay.Fetched) []*[]outbox.Record {
	all := []*[]outbox.Record{&got.Sweep.Records, &got.Gaps.Records}
	for i := range got.Destinations {
		all = append(all, &got.Destinations[i].Records)
	}
	for i := range got.Lanes {
		all = append(all, &got.Lanes[i].Records)
	}
	return all
}

// dropIncomplete takes the records without content out of got. Their ids stay where ids are noted by themselves.
func dropIncomplete(got *relay.Fetched) {
	for _, rows := range got.Scans {
		for i := range rows {
			if r := rows[i].Record; r != nil && r.Payload == nil {
				rows[i].Record = nil
			}
		}
	}
	for _, page := range pages(got) {
		*page = slices.DeleteFunc(*page, func(r outbox.Record) bool { return r.Payload == nil })
	}
}
