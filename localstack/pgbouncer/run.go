//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgbouncer"
)

// run starts PgBouncer, runs the command or waits, and returns the exit code: the command's when there is one.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("pgbouncer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	optional := flags.Bool("optional", false, "where there is no PgBouncer, say SKIPPED and succeed without running the command (refused with CI=true)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		_, _ = fmt.Fprintln(stderr, "DATABASE_URL: is not set")
		return 2
	}
	bouncer, err := pgbouncer.Start(ctx, server)
	if errors.Is(err, pgbouncer.ErrNotFound) && *optional && !inCI() {
		_, _ = fmt.Fprintf(stderr, "SKIPPED: the suites behind PgBouncer; run them with `make test-pgbouncer` after this: %v\n", err)
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	code := 0
	if flags.NArg() == 0 {
		_, _ = fmt.Fprintln(stdout, bouncer.URL())
		<-ctx.Done()
	} else {
		code = execute(ctx, bouncer.URL(), flags.Args(), stdout, stderr)
	}
	if err := bouncer.Stop(); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return max(code, 1)
	}
	return code
}

func execute(ctx context.Context, url string, command []string, stdout, stderr io.Writer) int {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "OUTBOX_TEST_POOLER_URL="+url)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func inCI() bool {
	ci, err := strconv.ParseBool(os.Getenv("CI"))
	return err == nil && ci
}
