package pgstore

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

var (
	//go:embed sql/janitor_list_archive.sql
	janitorListArchiveSQL string
	//go:embed sql/janitor_drop_archived.sql
	janitorDropArchivedSQL string
	//go:embed sql/janitor_delete_archived.sql
	janitorDeleteArchivedSQL string
	//go:embed sql/janitor_list_files.sql
	janitorListFilesSQL string
	//go:embed sql/janitor_record_file.sql
	janitorRecordFileSQL string
	//go:embed sql/janitor_forget_files.sql
	janitorForgetFilesSQL string
	//go:embed sql/janitor_read_archive.sql
	janitorReadArchiveSQL string
)

// partitionSize is how many ids a partition is for, as the migrations have it.
const partitionSize = 1_000_000

// ListArchive implements [janitor.Keeper].
func (s *Store) ListArchive(ctx context.Context, limit int) ([]janitor.ArchivePartition, error) {
	var list []janitor.ArchivePartition
	err := s.do(ctx, "list archive", func(conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, janitorListArchiveSQL, rowLimit(limit))
		defer rows.Close()
		for rows.Next() {
			var p janitor.ArchivePartition
			var oldest, newest pgtype.Timestamptz
			if err := rows.Scan(&p.Number, &p.Closed, &oldest, &newest, &p.Rows, &p.Bytes); err != nil {
				return err //nolint:wrapcheck // translated by do
			}
			p.Oldest, p.Newest = oldest.Time, newest.Time
			list = append(list, p)
		}
		return rows.Err() //nolint:wrapcheck // translated by do
	})
	return list, err
}

// DropArchived implements [janitor.Keeper].
func (s *Store) DropArchived(ctx context.Context, number int64, before time.Time, exported bool) (janitor.Outcome, error) {
	var answer string
	if err := s.one(ctx, "drop archived", janitorDropArchivedSQL, []any{number, before, exported}, &answer); err != nil {
		return "", err
	}
	return outcomeOf(answer, "dropped")
}

// DeleteArchived implements [janitor.Keeper].
func (s *Store) DeleteArchived(ctx context.Context, from, to int64, before time.Time, limit int, exported bool) (janitor.Outcome, int64, error) {
	var answer string
	var n int64
	err := s.one(ctx, "delete archived", janitorDeleteArchivedSQL, []any{from, to, before, rowLimit(limit), exported}, &answer, &n)
	if err != nil {
		return "", 0, err
	}
	outcome, err := outcomeOf(answer, "deleted")
	return outcome, n, err
}

// ListFiles implements [janitor.Files].
func (s *Store) ListFiles(ctx context.Context, number int64) ([]janitor.File, error) {
	var list []janitor.File
	err := s.do(ctx, "list files", func(conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, janitorListFilesSQL, number)
		defer rows.Close()
		for rows.Next() {
			f := janitor.File{Number: number}
			var digest, sum string
			if err := rows.Scan(&f.From, &f.To, &f.Rows, &digest, &f.Size, &sum, &f.Location); err != nil {
				return err //nolint:wrapcheck // translated by do
			}
			var ok bool
			if f.Digest, ok = new(big.Int).SetString(digest, 10); !ok {
				return fmt.Errorf("%s: digest %q is not a number", f.Location, digest)
			}
			raw, err := hex.DecodeString(sum)
			if err != nil || len(raw) != sha256.Size {
				return fmt.Errorf("%s: %q is not a SHA-256", f.Location, sum)
			}
			f.Sum = [sha256.Size]byte(raw)
			list = append(list, f)
		}
		return rows.Err() //nolint:wrapcheck // translated by do
	})
	return list, err
}

// RecordFile implements [janitor.Files].
func (s *Store) RecordFile(ctx context.Context, f janitor.File) error {
	return s.do(ctx, "record file", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, janitorRecordFileSQL, f.Number, f.From, f.To, f.Rows, f.Digest.String(), f.Size, hex.EncodeToString(f.Sum[:]), f.Location)
		return err //nolint:wrapcheck // translated by do
	})
}

// ForgetFiles implements [janitor.Files].
func (s *Store) ForgetFiles(ctx context.Context, number int64) error {
	return s.do(ctx, "forget files", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, janitorForgetFilesSQL, number)
		return err //nolint:wrapcheck // translated by do
	})
}

// ReadArchive implements [janitor.Rows].
func (s *Store) ReadArchive(ctx context.Context, number, from int64, limit int, row func(r *janitor.Row) (bool, error)) error {
	return s.do(ctx, "read archive", func(conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, janitorReadArchiveSQL, max(from, number*partitionSize), (number+1)*partitionSize, rowLimit(limit))
		defer rows.Close()
		for rows.Next() {
			var r janitor.Row
			var headers pgtype.Text
			var payload string
			if err := rows.Scan(&r.ID, &r.EventID, &r.AggregateType, &r.AggregateID, &r.EventType, &r.Destination, &r.CreatedAt, &r.SentAt,
				&r.MessageID, &r.SequenceNumber, &r.Replays, &r.ReplayOf, &headers, &payload, &r.Digest); err != nil {
				return err //nolint:wrapcheck // translated by do
			}
			if headers.Valid {
				r.Headers = json.RawMessage(headers.String)
			}
			r.CreatedAt, r.SentAt, r.Payload = r.CreatedAt.UTC(), r.SentAt.UTC(), json.RawMessage(payload)
			if more, err := row(&r); err != nil || !more {
				return err
			}
		}
		return rows.Err() //nolint:wrapcheck // translated by do
	})
}
