package pgstore

import (
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Store is the outbox in one PostgreSQL database. It implements [relay.Leases], [relay.Reader] and [relay.Settler],
// and is safe for concurrent use. One process should use one Store: it remembers which shards the database gave to
// each of the process's relays, and which transactions the database listed as able to write events.
type Store struct {
	pool    *pgxpool.Pool
	writers writerTracker

	mu sync.Mutex
	// owned has, by relay id, the shards that the relay owns by the newest answer of Renew to it. mu guards it.
	owned map[uuid.UUID][]relay.ShardLease
}

var (
	_ relay.Leases  = (*Store)(nil)
	_ relay.Reader  = (*Store)(nil)
	_ relay.Settler = (*Store)(nil)
)

// New returns the outbox that pool connects to. It makes no call. The caller closes the pool; [Connect] makes one with
// the settings that a Store needs.
func New(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, owned: make(map[uuid.UUID][]relay.ShardLease)}
}

// do runs f with a connection of the pool of s, which f must not keep. Errors, also those of f, begin with op, the
// name of the operation, and wrap an error of this package where one fits.
func (s *Store) do(ctx context.Context, op string, f func(conn *pgxpool.Conn) error) error {
	return pgdb.Call(ctx, s.pool, op, "outbox_relay", f) //nolint:wrapcheck // op is named there
}
