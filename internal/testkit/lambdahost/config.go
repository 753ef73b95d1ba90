//go:build unix

package lambdahost

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"time"
)

// Config describes a function.
type Config struct {
	// Name is the function's name. Defaults to the name of the folder that
	// holds the binary.
	Name string
	// Binary is the path of the program, usually called bootstrap. Required.
	Binary string
	// Env are the function's variables. They win over the ones that Lambda sets. Nothing
	// of this process's own environment reaches the function. Nil adds none.
	Env map[string]string
	// Region is the AWS region. Defaults to "us-east-1".
	Region string
	// Timeout is how long an invocation may take. Defaults to 3 s, as in Lambda.
	Timeout time.Duration
	// InitTimeout is how long a process may take to its first request for an
	// invocation. Defaults to 10 s, as in Lambda.
	InitTimeout time.Duration
	// Memory is the memory size in the function's variables, in MiB. It bounds
	// nothing. Defaults to 128.
	Memory int
	// MaxConcurrency is how many environments, busy or idle, there are at most, so how many
	// invocations run at the same time. Defaults to 10.
	MaxConcurrency int
	// MaxEventAge is how old a throttled asynchronous event may be at its next attempt.
	// Defaults to 6 h, as in Lambda.
	MaxEventAge time.Duration
	// ThrottleDelay returns the wait before an asynchronous event that was
	// throttled n times is tried again. Defaults to 1 s, doubled each time, at
	// most 5 min, as in Lambda.
	ThrottleDelay func(n int) time.Duration
	// Output is called with each line that a process writes, in order for each of the two
	// outputs of one environment, and otherwise concurrently. Nil drops the lines.
	Output func(Line)
	// Done is called with the result of every attempt, and with the error for which an
	// asynchronous event was dropped. Invoke returns after the call, unless its context
	// ended. Calls may be concurrent. Nil is not called.
	Done func(Response, error)
}

// Line is a line that a function wrote.
type Line struct {
	// Environment numbers the process, from 1.
	Environment int
	// RequestID is that of the invocation that the process worked on. It is empty
	// while the process starts, and between two invocations.
	RequestID string
	// Text is the line without its newline.
	Text string
}

// validate returns an error that names every field that cannot be used: Binary when empty, and negative times and
// concurrency.
func (c *Config) validate() error {
	var errs []error
	if c.Binary == "" {
		errs = append(errs, fmt.Errorf("%s is required", "Binary"))
	}
	for name, d := range map[string]time.Duration{"Timeout": c.Timeout, "InitTimeout": c.InitTimeout, "MaxEventAge": c.MaxEventAge} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s is negative: %s", name, d))
		}
	}
	if c.MaxConcurrency < 0 {
		errs = append(errs, fmt.Errorf("%s is negative: %d", "MaxConcurrency", c.MaxConcurrency))
	}
	return errors.Join(errs...)
}

// setDefaults sets the fields that are zero and have a default, and makes Binary an absolute path. Its only error is
// that of filepath.Abs.
func (c *Config) setDefaults() error {
	binary, err := filepath.Abs(c.Binary)
	if err != nil {
		return err
	}
	c.Binary = binary
	if c.Name == "" {
		c.Name = filepath.Base(filepath.Dir(c.Binary))
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	setDefault(&c.Timeout, 3*time.Second)
	setDefault(&c.InitTimeout, 10*time.Second)
	setDefault(&c.MaxEventAge, 6*time.Hour)
	setDefault(&c.Memory, 128)
	setDefault(&c.MaxConcurrency, 10)
	if c.ThrottleDelay == nil {
		c.ThrottleDelay = func(n int) time.Duration { return min(time.Second<<min(n-1, 10), 5*time.Minute) }
	}
	if c.Output == nil {
		c.Output = func(Line) {}
	}
	if c.Done == nil {
		c.Done = func(Response, error) {}
	}
	return nil
}

// setDefault sets *v to the given value when it is 0.
func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// environ returns the variables of the process that id numbers, as "name=value" in no order: most of those that
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html lists, with api as the address of the Runtime
// API and without a session token, and those of c.Env, which win.
func (c *Config) environ(api string, id int) []string {
	vars := map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_ACCESS_KEY_ID":               "local",
		"AWS_SECRET_ACCESS_KEY":           "local",
		"AWS_DEFAULT_REGION":              c.Region,
		"AWS_EXECUTION_ENV":               "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(c.Memory),
		"AWS_LAMBDA_FUNCTION_NAME":        c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_FORMAT":           "JSON",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + c.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      "local/[$LATEST]" + strconv.Itoa(id),
		"AWS_LAMBDA_RUNTIME_API":          api,
		"AWS_REGION":                      c.Region,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LAMBDA_TASK_ROOT":                filepath.Dir(c.Binary),
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin:/bin",
		"TZ":                              ":UTC",
	}
	maps.Copy(vars, c.Env)
	env := make([]string, 0, len(vars))
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	return env
}
