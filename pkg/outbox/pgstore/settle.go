package pgstore

import (
	"cmp"
	"context"
	_ "embed"
	"iter"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const settleSQL = "select outbox.settle($1::uuid, $2::bigint[], $3::text[], $4::text[])"

//go:embed sql/bury.sql
var burySQL string

// nearby is how far apart two dead ids of one statement may lie: its planner may
// read every unsent row between the lowest and the highest. A statement of n ids
// then reads at most that many times n entries of an index.
const nearby = 64

// Settle implements [relay.Settler], in one round trip and one transaction. An
// event named twice is settled once; one named as accepted and as dead is
// accepted.
func (s *Store) Settle(ctx context.Context, relayID uuid.UUID, st relay.Settlement) (relay.Settled, error) {
	var batch pgx.Batch
	var settled relay.Settled
	p, id := settleParams(st), relayID.String()
	if len(p.accepted) > 0 {
		batch.Queue(settleSQL, id, p.accepted, p.messageIDs, p.sequenceNumbers).QueryRow(func(row pgx.Row) error {
			var n *int
			err := row.Scan(&n)
			if n == nil {
				settled.Fenced = true
			} else {
				settled.Accepted = *n
			}
			return err //nolint:wrapcheck // the batch returns it
		})
	}
	for from, to := range runs(p.dead) {
		batch.Queue(burySQL, id, p.dead[from:to], p.dead[from], p.dead[to-1],
			p.attempts[from:to], p.codes[from:to], p.reasons[from:to], p.block[from:to], p.replays[from:to]).QueryRow(func(row pgx.Row) error {
			var fenced bool
			var n int
			err := row.Scan(&fenced, &n)
			settled.Fenced = settled.Fenced || fenced
			settled.Dead += n
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

// runs cuts sorted ids where two are not nearby.
func runs(ids []int64) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		from := 0
		for to := 1; to <= len(ids); to++ {
			if to < len(ids) && ids[to]-ids[to-1] <= nearby {
				continue
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// settlementParams are sorted by id and name each event once.
type settlementParams struct {
	accepted        []int64
	messageIDs      []string
	sequenceNumbers []string
	dead            []int64
	attempts        []int32
	replays         []int32
	codes, reasons  []string
	block           []bool
}

func settleParams(st relay.Settlement) settlementParams {
	accepted := slices.Clone(st.Accepted)
	slices.SortFunc(accepted, func(a, b relay.Accepted) int { return cmp.Compare(a.ID, b.ID) })
	accepted = slices.CompactFunc(accepted, func(a, b relay.Accepted) bool { return a.ID == b.ID })
	dead := slices.SortedStableFunc(slices.Values(st.Dead), func(a, b relay.Dead) int { return cmp.Compare(a.ID, b.ID) })
	dead = slices.CompactFunc(dead, func(a, b relay.Dead) bool { return a.ID == b.ID })

	p := settlementParams{
		accepted:        make([]int64, 0, len(accepted)),
		messageIDs:      make([]string, 0, len(accepted)),
		sequenceNumbers: make([]string, 0, len(accepted)),
		dead:            make([]int64, 0, len(dead)),
		attempts:        make([]int32, 0, len(dead)),
		replays:         make([]int32, 0, len(dead)),
		codes:           make([]string, 0, len(dead)),
		reasons:         make([]string, 0, len(dead)),
		block:           make([]bool, 0, len(dead)),
	}
	for _, a := range accepted {
		p.accepted = append(p.accepted, a.ID)
		p.messageIDs = append(p.messageIDs, clean(a.MessageID))
		p.sequenceNumbers = append(p.sequenceNumbers, clean(a.SequenceNumber))
	}
	for _, d := range dead {
		if _, found := slices.BinarySearch(p.accepted, d.ID); found {
			continue
		}
		p.dead = append(p.dead, d.ID)
		p.attempts = append(p.attempts, int32(d.Attempts)) //nolint:gosec // a small count
		p.replays = append(p.replays, int32(d.Replays))    //nolint:gosec // the database's own number
		p.codes = append(p.codes, clean(d.Code))
		p.reasons = append(p.reasons, clean(d.Reason))
		p.block = append(p.block, d.Block)
	}
	return p
}

// clean makes text that a broker or a caller gave storable: PostgreSQL takes
// neither NUL nor broken UTF-8, and one such reason must not undo a whole
// settlement.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
