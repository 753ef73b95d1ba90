// Command pytool runs a program of one of the Python tools, and installs the
// tool before the first time:
//
//	go run ./test/pytool sam sam build
//	go run ./test/pytool checkov checkov --version
//
// The tools are those of package requirements.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/requirements"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/venv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pytool:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: pytool TOOL PROGRAM [ARGUMENT ...]")
	}
	list, err := requirements.Of(args[0])
	if err != nil {
		return err
	}
	bin, err := venv.Install(ctx, venv.Config{
		Name: args[0], Requirements: list, PythonVersion: requirements.PythonVersion, Progress: os.Stderr,
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, args[1]), args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The programs find each other, and report nothing.
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SAM_CLI_TELEMETRY=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}
