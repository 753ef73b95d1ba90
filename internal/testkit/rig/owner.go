//go:build unix

package rig

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

//go:embed owners.sql
var ownersSQL string

// Owner returns the request id of the running invocation of fn whose relay owns the most
// shards, by the database that pool leads to, and "" when no running invocation owns any.
func Owner(ctx context.Context, pool *pgxpool.Pool, fn *lambdahost.Function) (string, error) {
	rows, err := pool.Query(ctx, ownersSQL)
	if err != nil {
		return "", fmt.Errorf("find the relay: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("find the relay: %w", err)
	}
	for _, name := range names {
		for _, r := range fn.Running() {
			if r.RequestID == name {
				return name, nil
			}
		}
	}
	return "", nil
}
