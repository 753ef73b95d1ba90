// Relay is the relay function for benchmarks that look into it: OUTBOX_BENCH_PPROF is
// the address on which net/http/pprof answers. It is never deployed.
package main

import (
	"context"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // its handlers
	"os"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

// variables are what the program reads beside those of the function.
type variables struct {
	// Address is the host and port at which profiles are served. Required.
	Address string `env:"OUTBOX_BENCH_PPROF,required"`
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
	go func() {
		server := http.Server{Addr: vars.Address, ReadHeaderTimeout: time.Second}
		logger.Error("profiles", slog.Any("error", server.ListenAndServe()))
	}()
	h := cfg.Host(logger, func(ctx context.Context) (boot.RelayEnvironment, error) {
		return cfg.Open(ctx, logger, os.Stdout)
	})
	h.Prepare(ctx)
	h.Start(ctx)
}
