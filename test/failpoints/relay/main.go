// Relay is the relay function for tests and benchmarks: with settings that have no variable, stopped at a named
// step where a plan says so, and with profiles where a variable asks for them. It is never deployed.
package main

import (
	"context"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // its handlers
	"os"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
)

// variables are what the program reads beside those of the function.
type variables struct {
	// Plan says at which step which fault happens, as JSON. When the variable is not set, no fault happens and
	// none is recorded.
	Plan   *failpoint.Plan `env:"OUTBOX_TEST_FAILPOINT"`
	Tuning tuning.Tuning   `env:"OUTBOX_TEST_TUNING"`
	// Profiles is the host and port at which net/http/pprof answers. "" is for no profiles.
	Profiles string `env:"OUTBOX_TEST_PROFILES"`
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
	vars.Tuning.Function(&cfg)
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	if vars.Profiles != "" {
		go func() {
			server := http.Server{Addr: vars.Profiles, ReadHeaderTimeout: time.Second}
			logger.Error("profiles", slog.Any("error", server.ListenAndServe()))
		}()
	}
	h := cfg.Host(logger, func(ctx context.Context) (boot.RelayEnvironment, error) {
		runtime, err := cfg.Open(ctx, logger, os.Stdout)
		if err != nil {
			return nil, err
		}
		vars.Tuning.Engine(&runtime.Config)
		if vars.Plan != nil {
			runtime.Store = failpoint.Store(runtime.Store, vars.Plan)
			for name, d := range runtime.Config.Destinations {
				d.Sink = failpoint.Sink(d.Sink, vars.Plan)
				runtime.Config.Destinations[name] = d
			}
		}
		return runtime, nil
	})
	h.Prepare(ctx)
	h.Start(ctx)
}
