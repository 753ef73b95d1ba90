package pgstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	eraSQL      = "select era, last_id from outbox.read_era()"
	scanSQL     = "select * from outbox.read_new($1::bigint, $2::smallint[], $3::integer, $4::integer)"
	backfillSQL = "select * from outbox.read_deferred($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.text, $4::bigint, $5::bigint, $6::smallint[], $7::integer, $8::integer, $9::boolean, $10::integer)"
	sweepSQL    = "select * from outbox.read_unsent($1::pg_catalog.text[], $2::bigint, $3::bigint, $4::smallint[], $5::integer, $6::integer)"
	unknownSQL  = "select * from outbox.unknown_destinations($1::pg_catalog.text[])"
	gapsSQL     = "select * from outbox.read_gaps($1::bigint[], $2::bigint[], $3::smallint[], $4::integer, $5::integer)"
	writersSQL  = "select * from outbox.list_writers()"
	backlogSQL  = "select pending, oldest from outbox.read_backlog($1::pg_catalog.text[], $2::bigint[], $3::integer)"
)

// Fetch implements [relay.Reader]. The statements go to the server as one batch, in the order of the fields of
// [relay.Fetch]; where all are empty it makes no call. Each takes a snapshot of its own, later than the one before it:
// that needs the isolation level read committed, without which [Store.Join] fails. The content of large events comes
// with a second round trip.
func (s *Store) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	var got relay.Fetched
	scanner := newRecordScanner(f.Bytes)
	batch := s.fetchBatch(f, scanner, &got)
	if batch.Len() == 1 {
		return got, nil
	}
	err := s.do(ctx, "fetch", func(conn *pgxpool.Conn) error {
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			return err //nolint:wrapcheck // named by do
		}
		return scanner.complete(ctx, conn, &got)
	})
	if err != nil {
		return relay.Fetched{}, err
	}
	return got, nil
}

// fetchBatch returns the statement that reads the era, and those of f in the order of its fields. When the batch is run,
// each adds its rows to got, without the content that scanner withheld. An error of the batch begins with the kind of read that failed.
func (s *Store) fetchBatch(f relay.Fetch, scanner *recordScanner, got *relay.Fetched) *pgx.Batch {
	var batch pgx.Batch
	shards := smallints(f.Shards)
	content := inline(f)
	read := func(kind string, collect func(rows pgx.Rows) error, sql string, args ...any) {
		batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			if err := collect(rows); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			return nil
		})
	}
	backfill := func(kind string, lane outbox.Lane, p relay.Page, blocked bool, content int, add func(found relay.Backfilled)) {
		read(kind, func(rows pgx.Rows) error {
			found, err := scanner.backfilled(rows, p)
			add(found)
			return err
		}, backfillSQL, lane.Destination, lane.AggregateType, lane.AggregateID, p.From, cmp.Or(p.Before, math.MaxInt64), shards,
			pgdb.Limit(p.Examine), pgdb.Limit(p.Limit), blocked, pgdb.Limit(content))
	}
	batch.Queue(eraSQL).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&got.Era, &got.LastID); err != nil {
			return fmt.Errorf("era: %w", err)
		}
		return nil
	})
	for _, scan := range f.Scans {
		of := shards
		if scan.Shards != nil {
			of = smallints(scan.Shards)
		}
		read("scan", func(rows pgx.Rows) error {
			found, err := scanner.collect(rows, scan.Limit)
			got.Scans = append(got.Scans, found)
			return err
		}, scanSQL, scan.After, of, pgdb.Limit(scan.Limit), pgdb.Limit(content))
	}
	for _, b := range f.Destinations {
		backfill("backfill of a destination", outbox.Lane{Destination: b.Destination}, b.Page, false, content, func(found relay.Backfilled) {
			got.Destinations = append(got.Destinations, found)
		})
	}
	for _, b := range f.Searches {
		first := relay.Page{From: b.From, Limit: 1, Examine: b.Examine}
		backfill("search", b.Lane, first, true, 0, func(found relay.Backfilled) {
			start := relay.LaneStart{Next: found.Next}
			if len(found.Records) > 0 {
				start = relay.LaneStart{First: found.Records[0].ID}
			}
			got.Searches = append(got.Searches, start)
		})
	}
	for _, b := range f.Lanes {
		backfill("backfill of a lane", b.Lane, b.Page, false, content, func(found relay.Backfilled) {
			got.Lanes = append(got.Lanes, found)
		})
	}
	if f.Sweep != nil {
		read("sweep", func(rows pgx.Rows) (err error) {
			// Nothing but the limit ends the page before its last id.
			got.Sweep, err = scanner.backfilled(rows, relay.Page{Limit: f.Sweep.Limit, Examine: math.MaxInt})
			got.Sweep.Next = cmp.Or(got.Sweep.Next, f.Sweep.Before, math.MaxInt64)
			return err
		}, sweepSQL, texts(f.Sweep.Destinations), f.Sweep.From, f.Sweep.Before, shards, pgdb.Limit(f.Sweep.Limit), pgdb.Limit(content))
	}
	if f.Sweep != nil && f.Sweep.Unknown {
		read("unknown destinations", func(rows pgx.Rows) (err error) {
			got.Unknown, err = pgx.CollectRows(rows, pgx.RowToStructByPos[relay.UnknownDestination])
			return err //nolint:wrapcheck // named by read
		}, unknownSQL, texts(f.Sweep.Destinations))
	}
	if f.Writers {
		read("writers", func(rows pgx.Rows) error {
			writers, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err == nil {
				got.Writers = s.writers.see(writers)
			}
			return err //nolint:wrapcheck // named by read
		}, writersSQL)
	}
	if len(f.Gaps) > 0 {
		from, to := ends(f.Gaps)
		// One more than the limit tells that there are more.
		read("gaps", func(rows pgx.Rows) error { return scanner.gaps(rows, f.GapLimit, &got.Gaps) },
			gapsSQL, from, to, shards, pgdb.Limit(f.GapLimit+1), pgdb.Limit(content))
	}
	return &batch
}

// texts returns names as an array argument of a statement. It is never nil.
func texts(names []string) []string { return append([]string{}, names...) }

// Backlog implements [relay.Reader]: it counts the unsent rows above the ids of their destinations in lows, limit at
// most, and returns the age of the oldest of those by the database's clock.
func (s *Store) Backlog(ctx context.Context, lows map[string]int64, limit int) (relay.Backlog, error) {
	names, ids := lowest(lows)
	var b relay.Backlog
	var oldest float64
	err := s.do(ctx, "backlog", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, backlogSQL, names, ids, pgdb.Limit(limit)).Scan(&b.Pending, &oldest)
	})
	b.Oldest = max(0, time.Duration(oldest*float64(time.Second)))
	return b, err
}
