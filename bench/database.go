//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
)

// archivedRows is the number of events in each archived partition.
const archivedRows = 5_000

// archivedSQL writes $2 settled events with ids of the partition $1. Their event ids differ from those of every
// load.
const archivedSQL = `
insert into outbox.events (id, event_id, aggregate_type, aggregate_id, event_type, payload, sent_at, message_id)
overriding system value
select $1::bigint * outbox.partition_size() + n, gen_random_uuid(), 'old', (n % 1000)::text, 'order.placed',
       format('{"order_id": %s, "note": "%s"}', n, repeat('payload ', 55))::json, clock_timestamp(), 'old'
from generate_series(1, $2::bigint) as n`

// archive makes as many partitions of settled events as Scenario.Archived says, and archives them as the
// janitor does. The partition behind them takes the events of the run.
func (t *trial) archive(ctx context.Context) error {
	if t.Archived == 0 {
		return nil
	}
	if _, err := t.pool.Exec(ctx, "select outbox.make_partitions($1)", t.Archived+1); err != nil {
		return err
	}
	for n := range t.Archived {
		if _, err := t.pool.Exec(ctx, archivedSQL, n, archivedRows); err != nil {
			return err
		}
	}
	if _, err := t.pool.Exec(ctx, "select setval('outbox.events_id_seq', $1::bigint * outbox.partition_size())", t.Archived); err != nil {
		return err
	}
	for n := range t.Archived {
		for _, step := range []string{
			"select outbox.seal_partition($1, clock_timestamp())",
			"select outbox.validate_partition($1)",
			"select outcome from outbox.archive_partition($1)",
		} {
			var got string
			if err := t.pool.QueryRow(ctx, step, n).Scan(&got); err != nil {
				return err
			}
			if got != "done" {
				return fmt.Errorf("archive partition %d: %s: %s", n, step, got)
			}
		}
	}
	return nil
}

// partitions makes enough partitions of outbox.events for all events of the run, at most 1000 beside the one in use, as
// the janitor does. For a peer it does nothing.
func (t *trial) partitions(ctx context.Context) error {
	if t.peer != nil {
		return nil
	}
	events := t.Fill + int64(float64(t.Rate)*t.Duration.Seconds())
	_, err := t.pool.Exec(ctx, "select outbox.make_partitions(least(1000, $1::bigint / outbox.partition_size() + 2)::integer)", events)
	return err
}

// settle ends the work that writing a backlog leaves to the database: it makes a checkpoint and, for a peer, a
// vacuum and the statistics without which PostgreSQL plans some peers' queries badly.
func (t *trial) settle(ctx context.Context) error {
	if t.peer != nil {
		if _, err := t.pool.Exec(ctx, "vacuum analyze"); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
	_, err := t.pool.Exec(ctx, "checkpoint")
	return err
}

// hold keeps a snapshot open until release is called, so that vacuum removes no dead row, if the scenario has
// HoldSnapshot; otherwise it does nothing. It fails when PostgreSQL does not show the snapshot as one that vacuum
// must respect.
func (t *trial) hold(ctx context.Context) (release func(), err error) {
	if !t.HoldSnapshot {
		return func() {}, nil
	}
	tx, err := t.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = tx.Exec(ctx, "set transaction isolation level repeatable read; select count(*) from pg_class"); err != nil {
		return nil, err
	}
	var holds bool
	if err = t.pool.QueryRow(ctx, "select backend_xmin is not null from pg_stat_activity where pid = $1", tx.Conn().PgConn().PID()).Scan(&holds); err != nil {
		return nil, err
	}
	if !holds {
		return nil, errors.New("the snapshot does not hold the horizon")
	}
	return func() { _ = tx.Rollback(ctx) }, nil
}
