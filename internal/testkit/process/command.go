//go:build unix

package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main is the main function of a program: it calls run with the program's arguments and a context that ends at an
// interrupt or SIGTERM, and exits with the code that run returns.
func Main(run func(ctx context.Context, args []string) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// Server is a running server that [Serve] hands to a command, or to a reader of the URL that it prints, and then stops.
type Server interface {
	// URL returns the server's address for clients.
	URL() string
	// Stop ends the server.
	Stop() error
}

// Serve runs the command with the server's URL in the environment variable, as [Run] does, then stops the server, and
// returns the command's exit code. Without a command it prints the URL, waits until ctx ends, and returns 0 after the
// stop. When the server cannot be stopped it prints the error, and returns 1 in place of 0.
func Serve(ctx context.Context, server Server, variable string, command []string) int {
	code := 0
	if len(command) == 0 {
		fmt.Println(server.URL())
		<-ctx.Done()
	} else {
		code = Run(ctx, command, variable+"="+server.URL())
	}
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
