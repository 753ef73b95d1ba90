//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// campaign makes all runs, several side by side, prints a line for each and
// returns their results by seed. The error is that of the machinery.
func campaign(ctx context.Context, cfg config, out io.Writer) ([]result, error) {
	p, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	var (
		mu      sync.Mutex
		results []result
		errs    []error
	)
	seeds := make(chan uint64)
	var workers sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range min(cfg.parallel, cfg.runs) {
		workers.Go(func() {
			err := work(ctx, cfg, p, seeds, func(r result) {
				mu.Lock()
				defer mu.Unlock()
				results = append(results, r)
				_, _ = fmt.Fprint(out, r.line()) // The exit code tells all the same.
			})
			if err != nil {
				cancel()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	for n := range cfg.runs {
		select {
		case seeds <- cfg.seed + uint64(n): //nolint:gosec // It is not negative.
		case <-ctx.Done():
		}
	}
	close(seeds)
	workers.Wait()
	slices.SortFunc(results, func(a, b result) int { return cmp.Compare(a.seed, b.seed) })
	return results, errors.Join(errs...)
}

// work makes runs on one PostgreSQL until there are no more seeds.
func work(ctx context.Context, cfg config, p rig.Program, seeds <-chan uint64, tell func(result)) (err error) {
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	for seed := range seeds {
		r := play(ctx, cfg, p, server, seed)
		if ctx.Err() != nil {
			return errors.Join(r.err, context.Cause(ctx))
		}
		tell(r)
	}
	return nil
}
