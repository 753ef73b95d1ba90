//go:build failpoint

// The relay function for tests of what happens when it is stopped at a named
// step: OUTBOX_FAILPOINT holds a [failpoint.Plan]. It is never deployed.
package main

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// variables are what the function reads beside its own.
type variables struct {
	Plan *failpoint.Plan `env:"OUTBOX_FAILPOINT,required" help:"JSON of a failpoint.Plan"`
}

func main() {
	ctx := context.Background()
	cfg, err := boot.FromEnv[boot.Relay]()
	if err != nil {
		panic(err)
	}
	vars, err := boot.FromEnv[variables]()
	if err != nil {
		panic(err)
	}
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := newHandler(logger, cfg.Margin, func(ctx context.Context) (environment, error) {
		env, err := open(ctx, &cfg, logger, os.Stdout)
		if l, ok := env.(live); ok {
			return failing{l, vars.Plan}, err
		}
		return env, err
	})
	h.prepare(ctx)
	lambda.StartWithOptions(h.Handle, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(h.close))
}

// failing is the environment of the function with a plan in each of its ports.
type failing struct {
	live
	plan *failpoint.Plan
}

// Run implements environment.
func (f failing) Run(ctx context.Context, name string, until time.Time) (relay.Summary, error) {
	runtime := *f.RelayRuntime
	runtime.Store = failpoint.Store(runtime.Store, f.plan)
	runtime.Config.Destinations = maps.Clone(runtime.Config.Destinations)
	for name, d := range runtime.Config.Destinations {
		d.Sink = failpoint.Sink(d.Sink, f.plan)
		runtime.Config.Destinations[name] = d
	}
	return live{&runtime}.Run(ctx, name, until)
}
