package pgstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	settleSQL = "select marked, mismatched from outbox.settle($1::pg_catalog.uuid, $2::bigint[], $3::pg_catalog.text[]::pg_catalog.uuid[], $4::pg_catalog.text[], $5::pg_catalog.text[])"
	burySQL   = "select buried, mismatched from outbox.bury($1::pg_catalog.uuid, $2::bigint[], $3::pg_catalog.text[]::pg_catalog.uuid[], $4::integer[]," +
		" $5::integer[], $6::pg_catalog.text[], $7::pg_catalog.text[], $8::boolean[])"
)

// Settle implements [relay.Settler], in one round trip and one transaction: it marks the accepted events of st as
// sent and buries its dead letters. Without events it makes no call. An event named twice is settled once; one named
// as accepted and as a dead letter is accepted.
func (s *Store) Settle(ctx context.Context, relayID uuid.UUID, st relay.Settlement) (relay.Settled, error) {
	accepted := sorted(st.Accepted, func(a relay.Accepted) identity { return identity{a.ID, a.EventID} })
	letters := sorted(st.DeadLetters, func(d relay.DeadLetter) identity { return identity{d.ID, d.EventID} })
	letters = slices.DeleteFunc(letters, func(d relay.DeadLetter) bool {
		_, found := slices.BinarySearchFunc(accepted, identity{d.ID, d.EventID}, func(a relay.Accepted, of identity) int {
			return identity{a.ID, a.EventID}.compare(of)
		})
		return found
	})
	var batch pgx.Batch
	var settled relay.Settled
	id := relayID.String()
	// queue adds a statement that returns how many events it settled, null when the relay has no lease, and how many ids
	// have a row of another event.
	queue := func(count *int, sql string, args ...any) {
		batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
			var n *int
			var mismatched int
			err := row.Scan(&n, &mismatched)
			if n == nil {
				settled.Fenced = true
			} else {
				*count = *n
			}
			settled.Mismatched += mismatched
			return err //nolint:wrapcheck // the batch returns it
		})
	}
	if len(accepted) > 0 {
		queue(&settled.Accepted, settleSQL, id,
			column(accepted, func(a relay.Accepted) int64 { return a.ID }),
			column(accepted, func(a relay.Accepted) string { return a.EventID.String() }),
			column(accepted, func(a relay.Accepted) string { return pgdb.Text(a.MessageID) }),
			column(accepted, func(a relay.Accepted) string { return pgdb.Text(a.SequenceNumber) }))
	}
	if len(letters) > 0 {
		queue(&settled.DeadLetters, burySQL, id,
			column(letters, func(d relay.DeadLetter) int64 { return d.ID }),
			column(letters, func(d relay.DeadLetter) string { return d.EventID.String() }),
			column(letters, func(d relay.DeadLetter) int32 { return int32(d.Replays) }),  //nolint:gosec // the database's own number
			column(letters, func(d relay.DeadLetter) int32 { return int32(d.Attempts) }), //nolint:gosec // a small count
			column(letters, func(d relay.DeadLetter) string { return pgdb.Text(d.Code) }),
			column(letters, func(d relay.DeadLetter) string { return pgdb.Text(d.Reason) }),
			column(letters, func(d relay.DeadLetter) bool { return d.Block }))
	}
	if batch.Len() == 0 {
		return settled, nil
	}
	// A batch is one implicit transaction.
	err := s.do(ctx, "settle", func(conn *pgxpool.Conn) error { return conn.SendBatch(ctx, &batch).Close() })
	if err != nil {
		return relay.Settled{}, err
	}
	return settled, nil
}

// identity is what tells one event's row from all others: the row id alone may have come again.
type identity struct {
	id    int64
	event uuid.UUID
}

// compare orders identities by the row id, and those of one id by the event id.
func (i identity) compare(other identity) int {
	return cmp.Or(cmp.Compare(i.id, other.id), bytes.Compare(i.event[:], other.event[:]))
}

// sorted returns a copy of the entries in the order of the identities that the function of returns. Of entries with the
// same identity it keeps the first.
func sorted[T any](entries []T, of func(T) identity) []T {
	out := slices.SortedStableFunc(slices.Values(entries), func(a, b T) int { return of(a).compare(of(b)) })
	return slices.CompactFunc(out, func(a, b T) bool { return of(a) == of(b) })
}

// column returns what value returns of each entry, in the order of the entries, as an array argument of a statement.
func column[T, V any](entries []T, value func(T) V) []V {
	out := make([]V, len(entries))
	for i, e := range entries {
		out[i] = value(e)
	}
	return out
}
