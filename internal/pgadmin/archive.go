package pgadmin

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

var (
	//go:embed sql/list_files.sql
	listFilesSQL string
	//go:embed sql/read_archive.sql
	readArchiveSQL string
)

// ListArchive implements [janitor.Keeper]: it lists the limit partitions of outbox.archive with the lowest numbers.
func (s *Store) ListArchive(ctx context.Context, limit int) ([]janitor.ArchivePartition, error) {
	const sql = "select number, closed, oldest, newest, rows, bytes from outbox.list_archive($1::integer)"
	var list []janitor.ArchivePartition
	err := s.each(ctx, "list archive", sql, []any{pgdb.Limit(limit)}, func(row pgx.Rows) (bool, error) {
		var p janitor.ArchivePartition
		var oldest, newest pgtype.Timestamptz
		err := row.Scan(&p.Number, &p.Closed, &oldest, &newest, &p.Rows, &p.Bytes)
		p.Oldest, p.Newest = oldest.Time, newest.Time
		list = append(list, p)
		return true, err //nolint:wrapcheck // named by call
	})
	return list, err
}

// DropArchived implements [janitor.Keeper]: it drops a partition of outbox.archive whose rows were all sent earlier
// than before, and with exported only if they are still the rows of its recorded files.
func (s *Store) DropArchived(ctx context.Context, number int64, before time.Time, exported bool) (janitor.Outcome, error) {
	return s.step(ctx, "drop archived", "select outbox.drop_archived($1::bigint, $2::timestamp with time zone, $3::boolean)", number, before, exported)
}

// DeleteArchived implements [janitor.Keeper]: it deletes rows of outbox.archive with ids from from up to to that were
// sent earlier than before, and returns how many: limit at most, or with exported all rows of one recorded file or
// none.
func (s *Store) DeleteArchived(ctx context.Context, from, to int64, before time.Time, limit int, exported bool) (janitor.Outcome, int64, error) {
	const sql = `select outcome, deleted
		from outbox.delete_archived($1::bigint, $2::bigint, $3::timestamp with time zone, $4::integer, $5::boolean)`
	var answer string
	var n int64
	if err := s.one(ctx, "delete archived", sql, []any{from, to, before, pgdb.Limit(limit), exported}, &answer, &n); err != nil {
		return "", 0, err
	}
	o, err := outcome(answer)
	return o, n, err
}

// ListFiles implements [janitor.Files]: it lists the recorded files of a partition whose rows are still in the archive.
// A digest that is no number, or a checksum that is no SHA-256, is an error.
func (s *Store) ListFiles(ctx context.Context, number int64) ([]janitor.File, error) {
	var list []janitor.File
	err := s.each(ctx, "list files", listFilesSQL, []any{number}, func(row pgx.Rows) (bool, error) {
		f := janitor.File{Number: number}
		var digest, sum string
		if err := row.Scan(&f.From, &f.To, &f.Rows, &digest, &f.Size, &sum, &f.Location); err != nil {
			return false, err //nolint:wrapcheck // named by call
		}
		var ok bool
		if f.Digest, ok = new(big.Int).SetString(digest, 10); !ok {
			return false, fmt.Errorf("%s: digest %q is not a number", f.Location, digest)
		}
		raw, err := hex.DecodeString(sum)
		if err != nil || len(raw) != sha256.Size {
			return false, fmt.Errorf("%s: %q is not a SHA-256", f.Location, sum)
		}
		f.Sum = [sha256.Size]byte(raw)
		list = append(list, f)
		return true, nil
	})
	return list, err
}

// RecordFile implements [janitor.Files]: it records f, or replaces the record of the same location.
func (s *Store) RecordFile(ctx context.Context, f janitor.File) error {
	const sql = `select outbox.record_export(
		$1::bigint, $2::bigint, $3::bigint, $4::bigint, ($5::pg_catalog.text)::pg_catalog.numeric, $6::bigint, $7::pg_catalog.text, $8::pg_catalog.text)`
	return s.exec(ctx, "record file", sql, f.Number, f.From, f.To, f.Rows, f.Digest.String(), f.Size, hex.EncodeToString(f.Sum[:]), f.Location)
}

// ForgetFiles implements [janitor.Files]: it deletes the records that ListFiles returns for the partition.
func (s *Store) ForgetFiles(ctx context.Context, number int64) error {
	return s.exec(ctx, "forget files", "select outbox.forget_exports($1::bigint)", number)
}

// ReadArchive implements [janitor.Rows]: it calls row for the first limit rows of a partition of outbox.archive with
// the id from or a higher one, until row returns false or an error.
func (s *Store) ReadArchive(ctx context.Context, number, from int64, limit int, row func(r *janitor.Row) (bool, error)) error {
	args := []any{max(from, number*janitor.PartitionSize), (number + 1) * janitor.PartitionSize, pgdb.Limit(limit)}
	return s.each(ctx, "read archive", readArchiveSQL, args, func(found pgx.Rows) (bool, error) {
		var r janitor.Row
		var headers pgtype.Text
		var payload string
		if err := found.Scan(&r.ID, &r.EventID, &r.AggregateType, &r.AggregateID, &r.EventType, &r.Destination, &r.CreatedAt, &r.SentAt,
			&r.MessageID, &r.SequenceNumber, &r.Replays, &r.ReplayOf, &headers, &payload, &r.Digest); err != nil {
			return false, err //nolint:wrapcheck // named by call
		}
		if headers.Valid {
			r.Headers = json.RawMessage(headers.String)
		}
		r.CreatedAt, r.SentAt, r.Payload = r.CreatedAt.UTC(), r.SentAt.UTC(), json.RawMessage(payload)
		return row(&r)
	})
}
