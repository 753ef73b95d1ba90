//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// nth says at which passing of a step a fault happens, so that the relay is at
// work by then: most steps are passed many times a second.
func nth(s failpoint.Step) int {
	switch s {
	case failpoint.BeforeFetch, failpoint.Fetched, failpoint.BeforeSend, failpoint.Sent, failpoint.Answered, failpoint.Accepted:
		return 25
	case failpoint.BeforeSettle, failpoint.Settled, failpoint.Marked:
		return 12
	case failpoint.BeforeRenew, failpoint.Renewed:
		return 3
	case failpoint.BeforeJoin, failpoint.Joined:
		return 2
	case failpoint.LeaseTaken, failpoint.BeforeHandOver, failpoint.HandedOver, failpoint.BeforeLeave, failpoint.Left:
	}
	return 1
}

// campaign makes a run for each step and fault that go together, prints a line
// for each and returns the results in order. The error is that of the machinery.
func campaign(ctx context.Context, cfg config, out io.Writer) (_ []result, err error) {
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	var results []result
	for _, s := range cfg.steps {
		for _, f := range cfg.faults {
			if s.IsCall() || f == failpoint.Kill || f == failpoint.Freeze {
				results = append(results, result{step: s, fault: f})
			}
		}
	}
	var telling sync.Mutex
	var workers sync.WaitGroup
	places := make(chan struct{}, cfg.parallel)
	for i := range results {
		workers.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if ctx.Err() != nil {
				results[i].err = context.Cause(ctx)
				return
			}
			results[i].make(ctx, cfg, program, server)
			telling.Lock()
			defer telling.Unlock()
			_, _ = fmt.Fprint(out, results[i].line()) // The exit code tells all the same.
		})
	}
	workers.Wait()
	return results, nil
}
