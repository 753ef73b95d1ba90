// Package hostmode runs LocalStack as a plain process on loopback, without Docker and without an account. It installs
// LocalStack with pip into a virtual environment of its own the first time.
package hostmode

import (
	"io"
	"net"
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/python"
)

// ErrUnavailable means that LocalStack cannot be installed on this machine: there is no suitable Python, or its
// packages cannot be fetched. The error that wraps it says what to install. Callers may go on without LocalStack; any
// other error is a fault.
var ErrUnavailable = python.ErrUnavailable

// Config describes a LocalStack. The zero value is usable.
type Config struct {
	// Dir is the folder of the virtual environment that LocalStack is installed in. It is kept between runs, and
	// processes may share it. Defaults to serverless-outbox/localstack-<version> in the user's cache folder: in the
	// repository `sam build` would copy it.
	Dir string
	// Port is the port of 127.0.0.1 to listen on. Defaults to a free one.
	Port int
	// Progress receives a line for each step of the installation and the start. Defaults to [io.Discard].
	Progress io.Writer
	// Output receives the output of LocalStack, whose last lines are also in the error when LocalStack does not start.
	// Defaults to [io.Discard].
	Output io.Writer
}

// withDefaults returns c with the defaults of its zero fields. A Port of 0 stays: each start takes a free one.
func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = python.DefaultDir("localstack-" + Version)
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.Output == nil {
		c.Output = io.Discard
	}
	return c
}

// address returns 127.0.0.1 and the port, at which LocalStack listens, as one text.
func address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
