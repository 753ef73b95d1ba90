package janitor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"
)

// fileEvery is the least time that the rows of one file span in a partition that is
// not closed, so that a slow outbox makes about one file a day.
const fileEvery = 24 * time.Hour

// expire removes the rows of the archive whose retention is over. With a target it
// exports them first, and verifies the files once more before it removes anything.
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

// expireWhole drops a closed partition whose rows were all sent before the time
// before.
func (r *run) expireWhole(ctx context.Context, number int64, before time.Time) error {
	if r.cfg.Target != nil {
		files, err := r.store.ListFiles(ctx, number)
		if err != nil {
			return err
		}
		if whole, err := r.export(ctx, number, next(files), before); err != nil || !whole {
			return err
		}
		if ok, err := r.verify(ctx, number); err != nil || !ok {
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
		// Rows were added or changed after the files were written: the next run
		// writes the files anew.
		r.report.More = true
		return r.store.ForgetFiles(ctx, number)
	case Busy, Locked, Gone, Open, Unsent, Young, Moved, Full, Unsealed:
	}
	return nil
}

// expireFiles exports the rows of a partition that is not closed, and deletes them
// file by file.
func (r *run) expireFiles(ctx context.Context, number int64, before time.Time) error {
	files, err := r.store.ListFiles(ctx, number)
	if err != nil {
		return err
	}
	if _, err = r.export(ctx, number, next(files), before); err != nil {
		return err
	}
	if ok, verifyErr := r.verify(ctx, number); verifyErr != nil || !ok {
		return verifyErr
	}
	if files, err = r.store.ListFiles(ctx, number); err != nil {
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

// next is the id from which the next file goes on: behind the last row of the
// files.
func next(files []File) int64 {
	from := int64(0)
	for _, f := range files {
		from = max(from, f.To+1)
	}
	return from
}

// export writes files of the rows from the id from on that were sent before the
// time before, and records them. It reports whether they reach to the end of the
// partition.
func (r *run) export(ctx context.Context, number, from int64, before time.Time) (bool, error) {
	e := Exporter{Store: r.store, Target: r.cfg.Target, Prefix: r.cfg.Prefix, Rows: r.cfg.ExportRows, Bytes: r.cfg.ExportBytes}
	for r.hasTime() {
		f, whole, err := e.File(ctx, number, from, before)
		if err != nil {
			return false, fmt.Errorf("export: %w", err)
		}
		if f == nil {
			return whole, nil
		}
		if err := r.store.RecordFile(ctx, *f); err != nil {
			return false, err
		}
		r.report.Files++
		r.report.FileRows += f.Rows
		r.report.FileBytes += f.Size
		if whole {
			return true, nil
		}
		from = f.To + 1
	}
	return false, nil
}

// verify checks every recorded file of a partition at the target, and reports
// whether all are as they were written. When one is not, the records of all are
// removed, so that the next run writes the files anew.
func (r *run) verify(ctx context.Context, number int64) (bool, error) {
	files, err := r.store.ListFiles(ctx, number)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		err := r.cfg.Target.Verify(ctx, path.Join(r.cfg.Prefix, Key(&f)), f.Size, f.Sum)
		if errors.Is(err, ErrAltered) {
			r.report.More = true
			return false, errors.Join(fmt.Errorf("verify %s: %w", f.Location, err), r.store.ForgetFiles(ctx, number))
		}
		if err != nil {
			return false, fmt.Errorf("verify %s: %w", f.Location, err)
		}
	}
	return true, nil
}

// deleteRows deletes the rows of a partition that were sent before the time before,
// in batches, without a copy.
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
