//go:build unix

// Command postgres starts a PostgreSQL server for as long as it runs. Without
// arguments it prints the server's URL and waits for an interrupt; otherwise it
// runs the arguments as a command with DATABASE_URL set and exits with its code.
//
//	go run ./localstack/postgres -- go test ./...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func main() { process.Main(run) }

// run starts PostgreSQL, runs the command in args or waits for an interrupt, and returns the exit code: that of the
// command when there is one, 1 when PostgreSQL fails, 2 for wrong flags or -h.
func run(ctx context.Context, args []string) int {
	var cfg pgserver.Config
	flags := flag.NewFlagSet("postgres", flag.ContinueOnError)
	flags.BoolVar(&cfg.Fsync, "fsync", false, "make commits durable, as on a real server")
	flags.BoolVar(&cfg.Embedded, "embedded", false, "use the embedded server even when one is installed")
	flags.IntVar(&cfg.Version, "version", 0, "the major version, 15 to 18: an installed one, else the embedded one (default any)")
	flags.StringVar(&cfg.DataDir, "data", "", "keep the cluster in this directory (default a temporary one)")
	flags.Func("set", "`name=value` of a parameter of the server, such as timezone=UTC; may be given several times", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("must be name=value")
		}
		if cfg.Settings == nil {
			cfg.Settings = make(map[string]string)
		}
		cfg.Settings[name] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	server, err := pgserver.Start(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return process.Serve(ctx, server, "DATABASE_URL", flags.Args())
}
