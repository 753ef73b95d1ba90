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

// Target is where files of archived rows are stored, such as a bucket or a folder.
type Target interface {
	// Put stores content as a file under key, in the place of a file that is there already, and then verifies it.
	// sum is the SHA-256 of content. Its error is ErrAltered, wrapped, when what was stored is not content.
	Put(ctx context.Context, key string, content []byte, sum [sha256.Size]byte) error
	// Verify checks that the file with that key exists and has that size in bytes and that SHA-256. If not, the error
	// is ErrAltered, wrapped; any other error means that the file could not be checked.
	Verify(ctx context.Context, key string, size int64, sum [sha256.Size]byte) error
	// Location returns the place of a file as a text for people, such as s3://bucket/key.
	Location(key string) string
}

// ErrAltered is the error of Target.Put and Target.Verify, wrapped, when the file is missing or is not the one
// that was stored.
var ErrAltered = errors.New("the file is not the one that was written")

// File describes a file with rows of one partition of the archive, which is in a Target.
type File struct {
	// Number is the number of the partition. From and To are the ids of the first and the last row.
	Number, From, To int64
	// Rows is the number of rows.
	Rows int64
	// Digest is the sum of the numbers [Row].Digest of all rows of the file. The database compares it before it
	// removes the rows, to see whether they changed.
	Digest *big.Int
	// Size is the size of the compressed file in bytes, and Sum the SHA-256 of its content.
	Size int64
	Sum  [sha256.Size]byte
	// Location is what Target.Location returned for the file.
	Location string
}

// Row is a row of the archive. Its JSON is a line of an exported file; the names of its fields never change.
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
	// Payload is the payload of the event. In a file it is without white space between the JSON values.
	Payload json.RawMessage `json:"payload"`
	// Digest is a hash of the row, computed by the database, which changes when the row does.
	Digest int64 `json:"-"`
}

// fileWriter makes the content of one file in memory: JSON lines, compressed by gzip.
type fileWriter struct {
	out  bytes.Buffer
	gz   *gzip.Writer
	enc  *json.Encoder
	file File
}

// newFileWriter returns the writer of a file of rows of the archive's partition with that number.
func newFileWriter(number int64) *fileWriter {
	w := &fileWriter{file: File{Number: number, Digest: new(big.Int)}}
	w.gz = gzip.NewWriter(&w.out)
	w.enc = json.NewEncoder(w.gz)
	w.enc.SetEscapeHTML(false)
	return w
}

// add appends a row to the file in memory. It must be called with the rows in the order of their ids.
func (w *fileWriter) add(r *Row) error {
	if err := w.enc.Encode(r); err != nil {
		return fmt.Errorf("encode event %d: %w", r.ID, err)
	}
	if w.file.Rows == 0 {
		w.file.From = r.ID
	}
	w.file.To = r.ID
	w.file.Rows++
	w.file.Digest.Add(w.file.Digest, big.NewInt(r.Digest))
	return nil
}

// close ends the file. It returns the description of the file without Location, and the content of the file. add
// must not be called after it.
func (w *fileWriter) close() (File, []byte, error) {
	if err := w.gz.Close(); err != nil {
		return File{}, nil, fmt.Errorf("compress: %w", err)
	}
	content := w.out.Bytes()
	w.file.Size = int64(len(content))
	w.file.Sum = sha256.Sum256(content)
	return w.file, content, nil
}

// ArchiveName returns the name of the table, in the schema outbox, that is the archive's partition with that number.
func ArchiveName(number int64) string { return fmt.Sprintf("archive_p%06d", number) }

// Key returns the key of a file, without Config.Prefix:
//
//	archive_p000012/0000000000012000000-0000000000012049999-5f16ac20d9a1.jsonl.gz
//
// These are the partition, the ids of the first and the last row, and the beginning of the SHA-256 of the file. So the
// same rows always have the same key, and changed rows another. Sorted keys are in the order of the ids.
func Key(f *File) string {
	return fmt.Sprintf("%s/%019d-%019d-%s.jsonl.gz", ArchiveName(f.Number), f.From, f.To, hex.EncodeToString(f.Sum[:6]))
}

// Exporter writes rows of the archive to files.
type Exporter struct {
	// Store is where the rows are read. Required.
	Store Rows
	// Target is where the files are stored. Required.
	Target Target
	// Prefix is the first part of all keys. It may be empty.
	Prefix string
	// Rows is the most rows of one file. A file also ends with the row that makes it Bytes or longer, compressed.
	// Required.
	Rows, Bytes int
}

// pageRows is the most rows that one statement reads for a file.
const pageRows = 1_000

// File stores one file with rows of a partition: those with the id from and higher ones, up to the first that was
// not sent earlier than before, or up to the bounds of a file. Where before is zero, the time of sending does not
// matter. Without a row to write it stores none, and file is nil. whole is true when it saw that the partition ends
// with the rows of the file, and false when the file is full. File does not record the file in the database.
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
