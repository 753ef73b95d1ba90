//go:build unix

package main

import (
	"context"
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
