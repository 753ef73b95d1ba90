package pgstore

import (
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Store is the outbox in one PostgreSQL database. It implements
// [relay.Leases], [relay.Reader] and [relay.Settler], and is safe for
// concurrent use. One process should use one Store: it remembers which shards
// the answers to its relays named, and which transactions it saw.
type Store struct {
	pool    *pgxpool.Pool
	writers writerTracker

	mu sync.Mutex
	// owned are the shards that the newest answer to each relay named, by relay id. mu guards it.
	owned map[uuid.UUID][]relay.ShardLease
}

var (
	_ relay.Leases  = (*Store)(nil)
	_ relay.Reader  = (*Store)(nil)
	_ relay.Settler = (*Store)(nil)
)

// New returns the outbox that pool connects to. It makes no call. The caller keeps the pool and closes it;
// [Connect] makes one with settings that suit.
func New(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, owned: make(map[uuid.UUID][]relay.ShardLease)}
}

// do runs f with a connection of the pool of s. Its errors begin with op, and wrap an error of this package
// where one fits. The connection is not to be used after f.
func (s *Store) do(ctx context.Context, op string, f func(conn *pgxpool.Conn) error) error {
	return pgdb.Call(ctx, s.pool, op, f) //nolint:wrapcheck // op is named there
}
