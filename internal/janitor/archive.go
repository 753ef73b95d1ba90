package janitor

import (
	"context"
	"errors"
	"time"
)

// archive moves events whose retention is over from outbox.events to the archive: a closed partition as a whole, and
// row by row a partition that is not closed or of which the archive has rows already. Where more than
// Config.KeepPartitions partitions are closed, the oldest ones are archived as soon as all their events were sent.
func (r *run) archive(ctx context.Context) error {
	partitions, err := r.store.ListEvents(ctx, listLimit)
	if err != nil {
		return err
	}
	closed := 0
	for _, p := range partitions {
		if p.Closed {
			closed++
		}
	}
	var failed []error
	for _, p := range partitions {
		if !r.hasTime() {
			break
		}
		before := r.sample.At.Add(-r.cfg.Retention)
		if p.Closed {
			if closed > r.cfg.KeepPartitions {
				before = r.sample.At
			}
			closed--
		}
		switch {
		case p.Number > r.sample.Current:
			return errors.Join(failed...)
		case p.Closed && !p.Archived && !p.Vacant:
			err = r.archiveWhole(ctx, p, before)
		case p.Vacant && !p.Closed:
			continue
		default:
			err = r.moveRows(ctx, p, before)
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// archiveWhole makes a closed partition of outbox.events one of the archive, when all its events were sent earlier
// than before. Else, and when a step fails, it takes off a seal that the partition has, and counts in
// Report.PartitionsKept a partition with unsent events.
func (r *run) archiveWhole(ctx context.Context, p EventsPartition, before time.Time) (err error) {
	due := !p.Unsent && !p.Newest.IsZero() && p.Newest.Before(before)
	if !due {
		if p.Unsent {
			r.report.PartitionsKept++
		}
		if p.Sealed {
			return r.unseal(ctx, p.Number)
		}
		return nil
	}
	outcome, err := r.patiently(ctx, func() (Outcome, error) { return r.store.Seal(ctx, p.Number, before) })
	if err == nil && outcome == Done {
		outcome, err = r.patiently(ctx, func() (Outcome, error) {
			came, out, archiveErr := r.store.Archive(ctx, p.Number)
			r.report.addLock(out)
			return came, archiveErr
		})
		if err == nil && outcome == Done {
			r.report.Archived++
			return nil
		}
	}
	if outcome == Unsent {
		r.report.PartitionsKept++
	}
	return errors.Join(err, r.unseal(ctx, p.Number))
}

// unseal makes a partition accept unsent rows again. It takes tidyTimeout at most and works also after ctx ended.
// Where it does not succeed, it sets Report.More.
func (r *run) unseal(ctx context.Context, number int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	outcome, err := r.patiently(ctx, func() (Outcome, error) { return r.store.Unseal(ctx, number) })
	if outcome != Done {
		r.report.More = true
	}
	return err
}

// moveRows moves those rows of a partition to the archive that were sent earlier than before, and then drops a closed
// partition that has no rows left. A closed partition with unsent events counts in Report.PartitionsKept.
func (r *run) moveRows(ctx context.Context, p EventsPartition, before time.Time) error {
	if !p.Vacant {
		if err := r.move(ctx, p.Number, before); err != nil {
			return err
		}
		if p.Closed && p.Unsent {
			r.report.PartitionsKept++
		}
	}
	if !p.Closed || p.Unsent || !r.hasTime() {
		return nil
	}
	outcome, err := r.patiently(ctx, func() (Outcome, error) {
		outcome, out, err := r.store.DropVacant(ctx, p.Number)
		r.report.addLock(out)
		return outcome, err
	})
	if err == nil && outcome == Done {
		r.report.Dropped++
	}
	return err
}

// move moves those rows of a partition, or of DefaultPartition, to the archive that were sent earlier than before, in
// transactions of Config.MoveLimit rows. It ends early, without an error, when there is no time or a lock stays taken.
func (r *run) move(ctx context.Context, number int64, before time.Time) error {
	for from := int64(0); r.hasTime(); {
		var m Move
		outcome, err := r.patiently(ctx, func() (Outcome, error) {
			var err error
			m, err = r.store.MoveSent(ctx, number, from, before, r.cfg.MoveLimit)
			return m.Outcome, err
		})
		r.report.Moved += m.Moved
		r.report.RowsKept += m.Kept
		if err != nil || outcome != Done || m.Next == 0 {
			return err
		}
		from = m.Next
	}
	return nil
}
