package janitor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"
)

// fileEvery is for how long after their retention the rows of a partition that is not closed are collected before they
// are exported, so that a slow outbox makes about one file a day and not one a run.
const fileEvery = 24 * time.Hour

// expire removes the rows of the archive that were sent longer ago than ArchiveRetention, unless that is zero: a
// closed partition as a whole, when all its rows are so old, and single rows of the others. With a Target it
// first exports them to files, and removes nothing before it has verified these files; single rows then wait until the
// oldest of their partition is over its time by fileEvery.
func (r *run) expire(ctx context.Context) error {
	if r.cfg.ArchiveRetention == 0 {
		return nil
	}
	partitions, err := r.store.ListArchive(ctx, listLimit)
	if err != nil {
		return err
	}
	before := r.sample.At.Add(-r.cfg.ArchiveRetention)
	var failed []error
	for _, p := range partitions {
		if !r.hasTime() {
			break
		}
		switch {
		case p.Closed && p.Newest.Before(before):
			err = r.expireWhole(ctx, p.Number, before)
		case p.Oldest.IsZero() || !p.Oldest.Before(before):
			continue
		case r.cfg.Target == nil:
			err = r.deleteRows(ctx, p.Number, before)
		case p.Oldest.Before(before.Add(-fileEvery)):
			err = r.expireFiles(ctx, p.Number, before)
		default:
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("partition %d: %w", p.Number, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// expireWhole drops a closed partition of the archive whose rows were all sent earlier than before. With a Target
// it first exports and verifies all rows. When rows changed after their export, it keeps the partition, forgets
// the files and sets Report.More.
func (r *run) expireWhole(ctx context.Context, number int64, before time.Time) error {
	if r.cfg.Target != nil {
		if _, whole, err := r.export(ctx, number, before); err != nil || !whole {
			return err
		}
	}
	outcome, err := r.patiently(ctx, func() (Outcome, error) {
		return r.store.DropArchived(ctx, number, before, r.cfg.Target != nil)
	})
	if err != nil {
		return err
	}
	switch outcome {
	case Done:
		r.report.Expired++
	case Changed:
		r.report.More = true
		return r.store.ForgetFiles(ctx, number)
	case Busy, Locked, Gone, Open, Unsent, Young, Moved, Full, Unsealed:
	}
	return nil
}

// expireFiles exports those rows of an archive partition that were sent earlier than before, verifies the files,
// and then deletes the rows, those of one file in one transaction. When rows changed after their export, it ends
// there, forgets the files and sets Report.More.
func (r *run) expireFiles(ctx context.Context, number int64, before time.Time) error {
	files, _, err := r.export(ctx, number, before)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !r.hasTime() {
			return nil
		}
		outcome, err := r.patiently(ctx, func() (Outcome, error) {
			outcome, n, err := r.store.DeleteArchived(ctx, f.From, f.To, before, 0, true)
			r.report.ExpiredRows += n
			return outcome, err
		})
		if err != nil {
			return err
		}
		if outcome == Changed {
			r.report.More = true
			return r.store.ForgetFiles(ctx, number)
		}
		if outcome != Done {
			return nil
		}
	}
	return nil
}

// export writes the rows of a partition that come after its recorded files, up to the first that was not sent earlier
// than before, to files, records these in the database, and then verifies all files of the partition. It returns
// all files, and whether they have every row to the end of the partition. When the time is over before that, it
// returns no file and no error.
func (r *run) export(ctx context.Context, number int64, before time.Time) ([]File, bool, error) {
	files, err := r.store.ListFiles(ctx, number)
	if err != nil {
		return nil, false, err
	}
	from := int64(0)
	for _, f := range files {
		from = max(from, f.To+1)
	}
	e := Exporter{Store: r.store, Target: r.cfg.Target, Prefix: r.cfg.Prefix, Rows: r.cfg.ExportRows, Bytes: r.cfg.ExportBytes}
	for r.hasTime() {
		f, whole, err := e.File(ctx, number, from, before)
		if err != nil {
			return nil, false, fmt.Errorf("export: %w", err)
		}
		if f == nil {
			return files, whole, r.verify(ctx, number, files)
		}
		if err := r.store.RecordFile(ctx, *f); err != nil {
			return nil, false, err
		}
		r.report.Files++
		r.report.FileRows += f.Rows
		r.report.FileBytes += f.Size
		files = append(files, *f)
		if whole {
			return files, true, r.verify(ctx, number, files)
		}
		from = f.To + 1
	}
	return nil, false, nil
}

// verify checks that files, which are all that are recorded of a partition, are at the target as they were written.
// When one is not, the error is ErrAltered, wrapped, and the records of all are removed so that the next run writes
// the files again. A file that could not be checked is an error too, and removes nothing.
func (r *run) verify(ctx context.Context, number int64, files []File) error {
	for _, f := range files {
		err := r.cfg.Target.Verify(ctx, path.Join(r.cfg.Prefix, Key(&f)), f.Size, f.Sum)
		if err == nil {
			continue
		}
		err = fmt.Errorf("verify %s: %w", f.Location, err)
		if errors.Is(err, ErrAltered) {
			r.report.More = true
			err = errors.Join(err, r.store.ForgetFiles(ctx, number))
		}
		return err
	}
	return nil
}

// deleteRows deletes those rows of an archive partition that were sent earlier than before, without a copy,
// cleanLimit in one transaction. It ends early, without an error, when there is no time or a lock stays taken.
func (r *run) deleteRows(ctx context.Context, number int64, before time.Time) error {
	for r.hasTime() {
		var n int64
		outcome, err := r.patiently(ctx, func() (Outcome, error) {
			var outcome Outcome
			var err error
			outcome, n, err = r.store.DeleteArchived(ctx, number*PartitionSize, (number+1)*PartitionSize-1, before, cleanLimit, false)
			r.report.ExpiredRows += n
			return outcome, err
		})
		if err != nil || outcome != Done || n < cleanLimit {
			return err
		}
	}
	return nil
}
