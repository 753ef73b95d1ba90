//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/pgserver"
)

// campaign makes all runs, several side by side, prints a line for each and
// returns their results by seed. The error is that of the machinery.
func campaign(ctx context.Context, cfg config, out io.Writer) ([]result, error) {
	p, err := build(ctx)
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
func work(ctx context.Context, cfg config, p program, seeds <-chan uint64, tell func(result)) (err error) {
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

// build compiles the function as it is deployed, for this machine.
func build(ctx context.Context) (program, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-json").Output()
	if err != nil {
		return program{}, fmt.Errorf("find the module: %w", err)
	}
	var module struct{ Dir string }
	if err = json.Unmarshal(out, &module); err != nil {
		return program{}, fmt.Errorf("find the module: %w", err)
	}
	p := program{root: module.Dir, binary: filepath.Join(module.Dir, ".cache", "chaos", "relay", "bootstrap")}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", p.binary, "./functions/relay")
	cmd.Dir = p.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("build the relay: %w\n%s", err, out)
	}
	return p, nil
}
