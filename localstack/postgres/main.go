//go:build unix

// Command postgres starts a PostgreSQL server for as long as it runs. Without
// arguments it prints the server's URL and waits for an interrupt; otherwise it
// runs the arguments as a command with DATABASE_URL set and exits with its code.
//
//	go run ./localstack/postgres -- go test ./...
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func main() {
	var cfg pgserver.Config
	flag.BoolVar(&cfg.Fsync, "fsync", false, "make commits durable, as on a real server")
	flag.BoolVar(&cfg.Embedded, "embedded", false, "use the embedded server even when one is installed")
	flag.StringVar(&cfg.DataDir, "data", "", "keep the cluster in this directory (default a temporary one)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, cfg, flag.Args())
	stop()
	os.Exit(code)
}

func run(ctx context.Context, cfg pgserver.Config, command []string) int {
	server, err := pgserver.Start(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := 0
	if len(command) == 0 {
		fmt.Println(server.URL())
		<-ctx.Done()
	} else {
		code = process.Run(ctx, command, "DATABASE_URL="+server.URL())
	}
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
