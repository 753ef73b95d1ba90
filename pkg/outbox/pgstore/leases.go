package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	joinSQL = `select outbox.join_relay(
			$1::pg_catalog.uuid, $2::pg_catalog.text,
			$3::interval, $4::interval, $5::interval,
			$6::integer)`
	renewSQL = `select outbox.renew_relay(
			$1::pg_catalog.uuid, $2::bigint, $3::boolean, $4::interval, $5::integer, $6::boolean,
			$7::smallint[], $8::bigint[], $9::smallint[],
			$10::bigint, $11::bigint[], $12::bigint[], $13::pg_catalog.text[], $14::bigint[],
			$15::pg_catalog.text[], $16::pg_catalog.text[], $17::pg_catalog.text[], $18::pg_catalog.text[]::timestamp with time zone[])::pg_catalog.text`
	leaveSQL = "select outbox.leave_relay($1::pg_catalog.uuid, $2::bigint, $3::smallint[], $4::bigint[], $5::bigint, $6::bigint[], $7::bigint[], $8::pg_catalog.text[], $9::bigint[])"
)

// Join implements [relay.Leases]: it enters a relay, without shards, and returns false when enough others run. After a
// lost answer it may be called again with the same id, which extends the lease. It fails with [ErrSettings] under
// another isolation level than read committed.
func (s *Store) Join(ctx context.Context, j relay.Join) (bool, error) {
	var joined bool
	err := s.do(ctx, "join", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, joinSQL,
			j.RelayID.String(), pgdb.Text(j.Name),
			interval(j.TTL), interval(j.RunFor), interval(j.JoinWindow), int32(j.Relays), //nolint:gosec // a handful
		).Scan(&joined)
	})
	return joined, err
}

// Renew implements [relay.Leases], in one round trip: it extends the lease of a relay, stores its position, and gives
// back and takes shards. The error wraps [relay.ErrLeaseLost] when the relay has no lease any more.
//
// The position is stored for those shards only that an earlier answer of Renew named as owned. A relay that did not get
// the answer in which it was given a shard cannot have allowed for that shard in its position, so the shard keeps the
// position that it was handed over with.
func (s *Store) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	shards, epochs := s.named(r.RelayID)
	from, to := ends(r.Position.Gaps)
	names, lows := lowest(r.Position.Lows)
	destinations, types, ids, released := releases(r.Unblock)
	var answer *string
	err := s.do(ctx, "renew", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, renewSQL,
			r.RelayID.String(), r.Era, r.Recurred, interval(r.TTL), int32(r.Relays), r.Leaving, //nolint:gosec // a handful
			shards, epochs, smallints(r.GiveBack),
			r.Position.Low, from, to, names, lows,
			destinations, types, ids, released,
		).Scan(&answer)
	})
	if err != nil {
		return relay.Lease{}, err
	}
	if answer == nil {
		s.answered(r.RelayID, nil)
		return relay.Lease{}, fmt.Errorf("renew: %w", relay.ErrLeaseLost)
	}
	lease, err := parseLease(*answer)
	if err != nil {
		return relay.Lease{}, fmt.Errorf("renew: %w", err)
	}
	s.answered(r.RelayID, lease.Shards)
	return lease, nil
}

// Leave implements [relay.Leases]: it ends the lease of a relay and frees its shards. The position p is stored for
// those shards only that an answer of Renew named as owned, and only if era is the current one.
func (s *Store) Leave(ctx context.Context, relayID uuid.UUID, era int64, p relay.Position) error {
	shards, epochs := s.named(relayID)
	from, to := ends(p.Gaps)
	names, lows := lowest(p.Lows)
	err := s.do(ctx, "leave", func(conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, leaveSQL, relayID.String(), era, shards, epochs, p.Low, from, to, names, lows)
		return err //nolint:wrapcheck // translated by do
	})
	if err == nil {
		s.answered(relayID, nil)
	}
	return err
}

// named returns the shards that the newest answer of Renew to the relay named as owned, and the epoch of each at the
// same index. Both are empty before the first answer.
func (s *Store) named(relayID uuid.UUID) ([]int16, []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owned := s.owned[relayID]
	shards, epochs := make([]int16, 0, len(owned)), make([]int64, 0, len(owned))
	for _, l := range owned {
		shards = append(shards, int16(l.Shard)) //nolint:gosec // 0 to 63
		epochs = append(epochs, l.Epoch)
	}
	return shards, epochs
}

// answered remembers owned, the shards that an answer of Renew to the relay named as owned, for named. Nil means that
// the lease has ended, and forgets the relay.
func (s *Store) answered(relayID uuid.UUID, owned []relay.ShardLease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owned == nil {
		delete(s.owned, relayID)
		return
	}
	s.owned[relayID] = slices.Clone(owned)
}

// parseLease returns the lease in answer, the JSON text that outbox.renew_relay returns.
func parseLease(answer string) (relay.Lease, error) {
	var a struct {
		Now    time.Time `json:"now"`
		Target int       `json:"target"`
		Era    int64     `json:"era"`
		LastID int64     `json:"last_id"`
		Begun  bool      `json:"begun"`
		Shards []struct {
			Shard int              `json:"shard"`
			Epoch int64            `json:"epoch"`
			Low   int64            `json:"low"`
			Gaps  [][2]int64       `json:"gaps"`
			Lows  map[string]int64 `json:"lows"`
		} `json:"shards"`
		Released []struct {
			Destination   string    `json:"destination"`
			AggregateType string    `json:"aggregate_type"`
			AggregateID   string    `json:"aggregate_id"`
			Shard         int       `json:"shard"`
			FirstID       int64     `json:"first_id"`
			ReleasedAt    time.Time `json:"released_at"`
		} `json:"released"`
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return relay.Lease{}, fmt.Errorf("parse answer: %w", err)
	}
	lease := relay.Lease{
		Now: a.Now, Target: a.Target, Era: a.Era, LastID: a.LastID, Begun: a.Begun, Shards: make([]relay.ShardLease, 0, len(a.Shards)),
	}
	for _, s := range a.Shards {
		l := relay.ShardLease{Shard: s.Shard, Epoch: s.Epoch, Resume: relay.Position{Low: s.Low}}
		if len(s.Lows) > 0 {
			l.Resume.Lows = s.Lows
		}
		for _, g := range s.Gaps {
			l.Resume.Gaps = append(l.Resume.Gaps, relay.Range{From: g[0], To: g[1]})
		}
		lease.Shards = append(lease.Shards, l)
	}
	for _, r := range a.Released {
		lease.Released = append(lease.Released, relay.ReleasedLane{
			Lane:       outbox.Lane{Destination: r.Destination, AggregateType: r.AggregateType, AggregateID: r.AggregateID},
			Shard:      r.Shard,
			FirstID:    r.FirstID,
			ReleasedAt: r.ReleasedAt,
		})
	}
	return lease, nil
}

// ends returns the first id of each range in from and the last in to, at the same index. Neither is ever nil.
func ends(ranges []relay.Range) (from, to []int64) {
	from, to = make([]int64, 0, len(ranges)), make([]int64, 0, len(ranges))
	for _, r := range ranges {
		from, to = append(from, r.From), append(to, r.To)
	}
	return from, to
}

// lowest returns the names of destinations, sorted, and at the same index the id of each in lows. Neither is ever nil.
func lowest(lows map[string]int64) (names []string, ids []int64) {
	names, ids = slices.AppendSeq(make([]string, 0, len(lows)), maps.Keys(lows)), make([]int64, 0, len(lows))
	slices.Sort(names)
	for _, name := range names {
		ids = append(ids, lows[name])
	}
	return names, ids
}

// releases returns released lanes as columns, never nil, as renewSQL takes them: destinations, aggregate types,
// aggregate ids, and when each was released, as texts with all digits that the database keeps: every mode of pgx can
// send those.
func releases(rs []relay.ReleasedLane) (destinations, types, ids, released []string) {
	destinations, types, ids, released = []string{}, []string{}, []string{}, []string{}
	for _, r := range rs {
		destinations = append(destinations, r.Lane.Destination)
		types = append(types, r.Lane.AggregateType)
		ids = append(ids, r.Lane.AggregateID)
		released = append(released, r.ReleasedAt.UTC().Format(time.RFC3339Nano))
	}
	return destinations, types, ids, released
}

// interval returns d as an argument of a statement: as a text, which every mode of pgx can send.
func interval(d time.Duration) string {
	return strconv.FormatInt(d.Microseconds(), 10) + " microseconds"
}

// smallints returns ns, the numbers of shards, as an array argument of a statement. It is never nil.
func smallints(ns []int) []int16 {
	out := make([]int16, 0, len(ns))
	for _, n := range ns {
		out = append(out, int16(n)) //nolint:gosec // shards, 0 to 63
	}
	return out
}
