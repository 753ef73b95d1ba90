// Package hostmode runs LocalStack as a plain process on loopback, without
// Docker and without an account. It installs LocalStack with pip into a virtual
// environment of its own the first time.
package hostmode

import (
	"io"
	"net"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/python"
)

// ErrUnavailable means that LocalStack cannot be installed on this machine:
// there is no suitable Python, or its packages cannot be fetched. The error that
// wraps it says what to install. Callers may go on without LocalStack; any other
// error is a fault.
var ErrUnavailable = python.ErrUnavailable

// Config describes a LocalStack. The zero value is usable.
type Config struct {
	// Dir is the folder of the virtual environment, which is kept between runs.
	// Processes may share it. Defaults to serverless-outbox/localstack-<version> in
	// the user's cache folder, out of the repository, so that `sam build` does
	// not copy it.
	Dir string
	// Port is the port of 127.0.0.1 to listen on. Defaults to a free one.
	Port int
	// Services are the AWS services to offer, such as "sqs". Defaults to sqs,
	// sns and sts, which are all that the locked packages can serve.
	Services []string
	// StartTimeout bounds the wait until LocalStack answers, after the
	// installation. Defaults to one minute.
	StartTimeout time.Duration
	// Progress receives a line for each step. Defaults to [io.Discard].
	Progress io.Writer
	// Output receives the output of LocalStack, whose last part is also in the error
	// when LocalStack does not start. Defaults to [io.Discard].
	Output io.Writer
}

// withDefaults returns c with the defaults of zero fields, but for Port, which Start chooses.
func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = python.DefaultDir("localstack-" + Version)
	}
	if len(c.Services) == 0 {
		c.Services = []string{"sqs", "sns", "sts"}
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.Output == nil {
		c.Output = io.Discard
	}
	return c
}

// address returns the host and port at which LocalStack listens.
func address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
