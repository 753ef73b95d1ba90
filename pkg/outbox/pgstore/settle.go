package pgstore

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"iter"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const settleSQL = "select marked, mismatched from outbox.settle($1::pg_catalog.uuid, $2::bigint[], $3::pg_catalog.text[]::pg_catalog.uuid[], $4::pg_catalog.text[], $5::pg_catalog.text[])"

//go:embed sql/bury.sql
var burySQL string

// nearby is how far apart two neighbouring ids in one burySQL may lie. Its plan may read every unsent row between the
// lowest and the highest id, so that a statement of n ids reads at most nearby times n entries of an index.
const nearby = 64

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
	if len(accepted) > 0 {
		batch.Queue(settleSQL, id,
			column(accepted, func(a relay.Accepted) int64 { return a.ID }),
			column(accepted, func(a relay.Accepted) string { return a.EventID.String() }),
			column(accepted, func(a relay.Accepted) string { return pgdb.Text(a.MessageID) }),
			column(accepted, func(a relay.Accepted) string { return pgdb.Text(a.SequenceNumber) }),
		).QueryRow(func(row pgx.Row) error {
			var n *int
			err := row.Scan(&n, &settled.Mismatched)
			if n == nil {
				settled.Fenced = true
			} else {
				settled.Accepted = *n
			}
			return err //nolint:wrapcheck // the batch returns it
		})
	}
	for run := range runs(letters) {
		batch.Queue(burySQL, id,
			column(run, func(d relay.DeadLetter) int64 { return d.ID }), run[0].ID, run[len(run)-1].ID,
			column(run, func(d relay.DeadLetter) int32 { return int32(d.Attempts) }), //nolint:gosec // a small count
			column(run, func(d relay.DeadLetter) string { return pgdb.Text(d.Code) }),
			column(run, func(d relay.DeadLetter) string { return pgdb.Text(d.Reason) }),
			column(run, func(d relay.DeadLetter) bool { return d.Block }),
			column(run, func(d relay.DeadLetter) int32 { return int32(d.Replays) }), //nolint:gosec // the database's own number
			column(run, func(d relay.DeadLetter) string { return d.EventID.String() }),
		).QueryRow(func(row pgx.Row) error {
			var fenced bool
			var n, mismatched int
			err := row.Scan(&fenced, &n, &mismatched)
			settled.Fenced = settled.Fenced || fenced
			settled.DeadLetters += n
			settled.Mismatched += mismatched
			return err //nolint:wrapcheck // the batch returns it
		})
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

// runs cuts dead letters, which are sorted by id, into parts, each for one statement burySQL: a new part begins where
// an id is more than nearby above the id before it.
func runs(letters []relay.DeadLetter) iter.Seq[[]relay.DeadLetter] {
	return func(yield func([]relay.DeadLetter) bool) {
		from := 0
		for to := 1; to <= len(letters); to++ {
			if to < len(letters) && letters[to].ID-letters[to-1].ID <= nearby {
				continue
			}
			if !yield(letters[from:to]) {
				return
			}
			from = to
		}
	}
}
