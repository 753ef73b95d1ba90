//go:build profile && !failpoint

// The relay function for benchmarks that look into it: OUTBOX_PPROF is the
// address on which net/http/pprof answers. It is never deployed.
package main

import (
	"context"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // its handlers
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

// variables are what the function reads beside its own.
type variables struct {
	Address string `env:"OUTBOX_PPROF,required" help:"host and port to serve profiles at"`
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
	go func() {
		server := http.Server{Addr: vars.Address, ReadHeaderTimeout: time.Second}
		logger.Error("profiles", slog.Any("error", server.ListenAndServe()))
	}()
	h := newHandler(logger, cfg.Margin, func(ctx context.Context) (environment, error) {
		return open(ctx, &cfg, logger, os.Stdout)
	})
	h.prepare(ctx)
	lambda.StartWithOptions(h.Handle, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(h.close))
}
