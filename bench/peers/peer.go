package main

import (
	"context"
	"runtime/debug"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// peer is another outbox: its description, and how the benchmark writes to it and runs it.
type peer struct {
	load.Peer

	// schema makes the peer's tables, unless they are there.
	schema func(context.Context, *pgxpool.Pool) error
	write  load.Writer
	// run publishes with out until ctx ends, which is no error, and calls running once it has begun.
	run func(ctx context.Context, pool *pgxpool.Pool, out *sender, running func()) error
}

func peers() []peer {
	all := []peer{river("river", 500), river("river-1", 1), watermill()}
	info, _ := debug.ReadBuildInfo()
	for i := range all {
		for _, m := range info.Deps {
			if m.Path == all[i].Module {
				all[i].Version = m.Version
			}
		}
	}
	return all
}
