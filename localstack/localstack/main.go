// Command localstack runs LocalStack without Docker: for the length of a command, or until it is interrupted.
//
//	go run ./localstack/localstack                       # serve at 127.0.0.1:4566
//	go run ./localstack/localstack -- go test ./...      # run a command with it
//
// The command finds the endpoint in OUTBOX_TEST_LOCALSTACK_URL and AWS_ENDPOINT_URL.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/hostmode"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func main() { process.Main(run) }

// options are the flags and the command of the arguments, which is empty when LocalStack is to be served only.
type options struct {
	hostmode.Config
	optional bool
	command  []string
}

// run starts LocalStack, runs the command or serves, and returns the exit code: that of the command when there is
// one, 1 when LocalStack fails, 2 for wrong flags or -h. With -optional, and not in CI, it calls without where
// LocalStack cannot be installed.
func run(ctx context.Context, args []string) int {
	o, err := parse(args)
	if err != nil {
		return 2
	}

	server, err := hostmode.Start(ctx, o.Config)
	if errors.Is(err, hostmode.ErrUnavailable) && o.optional && !process.InCI() {
		return without(ctx, o, err)
	}
	if err != nil {
		complain(err)
		return 1
	}
	code := with(ctx, o, server)
	if err := server.Stop(); err != nil {
		complain(err)
		return max(code, 1)
	}
	return code
}

// parse reads the arguments. It prints the error that it returns.
func parse(args []string) (options, error) {
	o := options{Config: hostmode.Config{Progress: os.Stderr}}
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	flags.IntVar(&o.Port, "port", 0, "loopback `port` (default 4566 when serving, a free one for a command)")
	flags.StringVar(&o.Dir, "dir", "", "keep the installation in `dir` (default in the user's cache folder)")
	verbose := flags.Bool("v", false, "show LocalStack's own output")
	flags.BoolVar(&o.optional, "optional", false, "where LocalStack cannot be installed, say SKIPPED and run the command without it (refused with CI=true)")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	o.command = flags.Args()
	if len(o.command) == 0 && o.Port == 0 {
		o.Port = 4566
	}
	if *verbose {
		o.Output = os.Stderr
	}
	return o, nil
}

// with runs the command with environment variables that lead to the server, and returns its exit code. Without a command
// it prints the URL, and returns 0 at an interrupt and 1 when LocalStack ends by itself.
func with(ctx context.Context, o options, server *hostmode.Server) int {
	if len(o.command) == 0 {
		fmt.Println(server.URL())
		select {
		case <-ctx.Done():
			return 0
		case <-server.Done():
			complain(errors.New("LocalStack ended by itself"))
			return 1
		}
	}
	return process.Run(ctx, o.command,
		"OUTBOX_TEST_LOCALSTACK_URL="+server.URL(),
		"AWS_ENDPOINT_URL="+server.URL(),
		"AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
	)
}

// without runs the command without LocalStack, prints before and after it that suites were skipped, and returns
// its exit code. Without a command it prints the cause and returns 1.
func without(ctx context.Context, o options, cause error) int {
	if len(o.command) == 0 {
		complain(cause)
		return 1
	}
	skipped := fmt.Errorf("SKIPPED: the suites that need LocalStack; run them with `make test-localstack` after this: %w", cause)
	complain(skipped)
	code := process.Run(ctx, o.command)
	complain(skipped)
	return code
}

func complain(err error) { fmt.Fprintln(os.Stderr, "localstack:", err) }
