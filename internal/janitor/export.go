package janitor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path"
	"time"
)

// Target stores files of archived rows, such as in a bucket or a folder.
type Target interface {
	// Put stores a file and verifies it. sum is the SHA-256 of content. To store
	// the same file again changes nothing.
	Put(ctx context.Context, key string, content []byte, sum [sha256.Size]byte) error
	// Verify checks that the file is there with this size and SHA-256. When it is
	// not, the error is ErrAltered, wrapped; another error means that the file
	// could not be checked.
	Verify(ctx context.Context, key string, size int64, sum [sha256.Size]byte) error
	// Location names a file for people, such as s3://bucket/key.
	Location(key string) string
}

// ErrAltered is what Target.Verify returns, wrapped, when the file is missing or
// is not the one that was stored.
var ErrAltered = errors.New("the file is not the one that was written")

// File is a file of archived rows.
type File struct {
	// Number is the number of the partition. From and To are the ids of the first
	// and the last row.
	Number, From, To int64
	// Rows is the number of rows.
	Rows int64
	// Digest is the sum of the digests of the rows, with which the database checks
	// that the rows did not change since.
	Digest *big.Int
	// Size is the number of bytes as they are stored, compressed, and Sum their
	// SHA-256.
	Size int64
	Sum  [sha256.Size]byte
	// Location is Target.Location of the file.
	Location string
}

// Row is a row of the archive. Its JSON is a line of a file; the names of the
// fields are stable.
type Row struct {
	ID             int64           `json:"id"`
	EventID        string          `json:"event_id"`
	AggregateType  string          `json:"aggregate_type"`
	AggregateID    string          `json:"aggregate_id"`
	EventType      string          `json:"event_type"`
	Destination    string          `json:"destination"`
	CreatedAt      time.Time       `json:"created_at"`
	SentAt         time.Time       `json:"sent_at"`
	MessageID      string          `json:"message_id"`
	SequenceNumber string          `json:"sequence_number,omitempty"`
	Replays        int             `json:"replays,omitempty"`
	ReplayOf       int64           `json:"replay_of,omitempty"`
	Headers        json.RawMessage `json:"headers,omitempty"`
	// Payload is the payload without the white space between its parts.
	Payload json.RawMessage `json:"payload"`
	// Digest is a hash of the row that the database makes.
	Digest int64 `json:"-"`
}

// fileWriter makes one file in memory: one JSON object a line, compressed by gzip.
type fileWriter struct {
	out    bytes.Buffer
	gz     *gzip.Writer
	enc    *json.Encoder
	file   File
	digest big.Int
}

func newFileWriter(number int64) *fileWriter {
	w := &fileWriter{file: File{Number: number}}
	w.gz = gzip.NewWriter(&w.out)
	w.enc = json.NewEncoder(w.gz)
	w.enc.SetEscapeHTML(false)
	return w
}

// add appends a row. Rows come in the order of their ids.
func (w *fileWriter) add(r *Row) error {
	if err := w.enc.Encode(r); err != nil {
		return fmt.Errorf("encode event %d: %w", r.ID, err)
	}
	if w.file.Rows == 0 {
		w.file.From = r.ID
	}
	w.file.To = r.ID
	w.file.Rows++
	w.digest.Add(&w.digest, big.NewInt(r.Digest))
	return nil
}

// close ends the file and returns it without a location, and its bytes.
func (w *fileWriter) close() (File, []byte, error) {
	if err := w.gz.Close(); err != nil {
		return File{}, nil, fmt.Errorf("compress: %w", err)
	}
	content := w.out.Bytes()
	w.file.Digest = &w.digest
	w.file.Size = int64(len(content))
	w.file.Sum = sha256.Sum256(content)
	return w.file, content, nil
}

// ArchiveName is the name of the table that is partition number of the archive, in
// the schema outbox.
func ArchiveName(number int64) string { return fmt.Sprintf("archive_p%06d", number) }

// Key names a file below the prefix:
//
//	archive_p000012/0000000012000000-0000000012049999-5f16ac20d9a1.jsonl.gz
//
// that is the partition, the ids of the first row and the last, and the beginning
// of the SHA-256 of the file: the same rows have the same key, and other rows
// another. Keys sort as the ids do.
func Key(f *File) string {
	return fmt.Sprintf("%s/%019d-%019d-%s.jsonl.gz", ArchiveName(f.Number), f.From, f.To, hex.EncodeToString(f.Sum[:6]))
}

// Exporter writes archived rows to files.
type Exporter struct {
	// Store has the rows. Required.
	Store Rows
	// Target takes the files. Required.
	Target Target
	// Prefix begins all keys. It may be empty.
	Prefix string
	// Rows and Bytes bound a file as ExportRows and ExportBytes of [Config] do.
	// Required.
	Rows, Bytes int
}

// pageRows is the most rows that one statement reads for a file.
const pageRows = 1_000

// File writes the next file of a partition, with rows from the id from on, up to
// the first row that was sent at the time before or later; a zero time has no such
// row. It returns no file when there is no row to write. whole reports that the
// partition has no rows behind those of the file.
func (e *Exporter) File(ctx context.Context, number, from int64, before time.Time) (file *File, whole bool, err error) {
	w := newFileWriter(number)
	next, young, full := from, false, false
	for !young && !full {
		page := 0
		err = e.Store.ReadArchive(ctx, number, next, pageRows, func(r *Row) (bool, error) {
			if !before.IsZero() && !r.SentAt.Before(before) {
				young = true
				return false, nil
			}
			if addErr := w.add(r); addErr != nil {
				return false, addErr
			}
			page++
			next = r.ID + 1
			full = w.file.Rows >= int64(e.Rows) || w.out.Len() >= e.Bytes
			return !full, nil
		})
		if err != nil {
			return nil, false, err
		}
		if page < pageRows {
			break
		}
	}
	if w.file.Rows == 0 {
		return nil, !young, nil
	}
	f, content, err := w.close()
	if err != nil {
		return nil, false, err
	}
	key := path.Join(e.Prefix, Key(&f))
	f.Location = e.Target.Location(key)
	if err := e.Target.Put(ctx, key, content, f.Sum); err != nil {
		return nil, false, fmt.Errorf("write %s: %w", f.Location, err)
	}
	return &f, !young && !full, nil
}
