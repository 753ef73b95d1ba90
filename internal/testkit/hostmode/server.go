package hostmode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/python"
)

const (
	// startTimeout is how long LocalStack may take from its start to its first answer.
	startTimeout = 2 * time.Minute
	// stopGrace is how long LocalStack may take to end after SIGTERM. Then it is killed.
	stopGrace = 5 * time.Second
)

// Server is a running LocalStack. Its methods may be called concurrently.
type Server struct {
	port  int
	state string        // the folder of LocalStack's files, which Stop removes
	pid   int           // of the process, which leads a process group
	done  chan struct{} // closed when the process has ended
	err   error         // how the process ended, nil for exit code 0; readable once done is closed
	stop  sync.Once
}

// Start installs LocalStack if it is not installed yet, starts it on 127.0.0.1 and waits until it answers. ctx bounds
// the installation and the start only: the server runs until Stop. The error wraps [ErrUnavailable] when LocalStack
// cannot be installed on this machine.
func Start(ctx context.Context, c Config) (*Server, error) {
	c = c.withDefaults()
	bin, err := python.Install(ctx, python.Config{
		Name: "LocalStack " + Version, Requirements: Lock, Dir: c.Dir, Progress: c.Progress,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	began := time.Now()
	s, err := start(ctx, c, filepath.Join(bin, "python"))
	if errors.Is(err, errExited) && c.Port == 0 {
		// Another program may have taken the free port first.
		s, err = start(ctx, c, filepath.Join(bin, "python"))
	}
	if err != nil {
		return nil, err
	}
	say(c.Progress, "LocalStack %s answers at %s after %.1f s", Version, s.URL(), time.Since(began).Seconds())
	return s, nil
}

// URL returns the endpoint of SQS, SNS and STS, without a slash at its end.
func (s *Server) URL() string { return "http://" + address(s.port) }

// Done returns a channel that is closed when LocalStack has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends LocalStack with everything it started, waits for the end, and removes its files. It kills LocalStack when
// that takes longer than stopGrace. Another call waits for the first, and returns nil.
func (s *Server) Stop() error {
	var err error
	s.stop.Do(func() { err = s.end() })
	return err
}

// errExited means that LocalStack ended before it answered.
var errExited = errors.New("LocalStack ended before it answered")

// start starts an installed LocalStack with python, the path of the interpreter of its virtual environment, and waits
// until it answers. The error is errExited, wrapped, when it ends before. After an error nothing of it is left.
func start(ctx context.Context, c Config, python string) (*Server, error) {
	port := c.Port
	if port == 0 {
		var err error
		if port, err = process.FreePort(ctx); err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
	}
	state, err := os.MkdirTemp("", "outbox-localstack-")
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}

	last := &ring{}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), python, "-m", "localstack.runtime.main")
	cmd.Dir = state
	cmd.Env = environ(port, state)
	cmd.Stdout = io.MultiWriter(last, c.Output)
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = sysProcAttr()
	// A child that outlives LocalStack must not keep Wait from returning.
	cmd.WaitDelay = stopGrace
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start: %w", err), os.RemoveAll(state))
	}

	s := &Server{port: port, state: state, pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start: %w\n%s", err, tail(last.String())), s.Stop())
	}
	return s, nil
}

// environ returns the environment variables of a LocalStack that listens on 127.0.0.1 and the port only, has its
// files in the folder state, fetches nothing and reports nothing: those of this process without AWS_* and PYTHON*,
// and settings. The hypercorn gateway is needed because the default one listens on every address whatever
// GATEWAY_LISTEN says.
func environ(port int, state string) []string {
	env := make([]string, 0, 32)
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		// Settings meant for clients of LocalStack must not turn it into one.
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "PYTHON") {
			env = append(env, kv)
		}
	}
	return append(env,
		"SERVICES=sqs,sns,sts", // all that the locked packages can serve
		"EAGER_SERVICE_LOADING=0",
		"GATEWAY_SERVER=hypercorn",
		"GATEWAY_LISTEN="+address(port),
		"LOCALSTACK_HOST="+address(port),
		"DNS_ADDRESS=0",
		"DISABLE_EVENTS=1",
		"SKIP_SSL_CERT_DOWNLOAD=1",
		"SQS_ENDPOINT_STRATEGY=path",
		"FILESYSTEM_ROOT="+filepath.Join(state, "root"),
		"TMPDIR="+state,
	)
}

// ready returns nil when LocalStack answers on its health path, which it tries every 50 ms. It returns errExited,
// wrapped, when the process has ended, and an error when ctx ends.
func (s *Server) ready(ctx context.Context) error {
	const interval = 50 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if s.healthy(ctx) {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%w: %w", errExited, s.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for health: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// healthy reports whether LocalStack's health path answers 200.
func (s *Server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/_localstack/health", http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// end ends LocalStack and removes its files, as Stop says. It is called once.
func (s *Server) end() error {
	s.signal(syscall.SIGTERM)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-s.done:
	case <-grace.C:
	}
	// Also after a clean end: children of LocalStack may still run.
	s.signal(syscall.SIGKILL)
	<-s.done
	if err := os.RemoveAll(s.state); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// signal sends a signal to LocalStack and all processes it started. When none runs any more it does nothing.
func (s *Server) signal(sig syscall.Signal) { _ = syscall.Kill(-s.pid, sig) }

// ring is a writer that keeps the last 64 KiB of what is written to it. It is safe for concurrent use.
type ring struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (r *ring) Write(p []byte) (int, error) {
	const keep = 64 << 10
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.Write(p)
	if over := r.buf.Len() - keep; over > 0 {
		r.buf.Next(over)
	}
	return len(p), nil
}

// String returns the last 64 KiB that were written.
func (r *ring) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// tail returns the last 15 lines of s, without white space at its ends.
func tail(s string) string {
	const most = 15
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// say writes one line of progress to w. It ignores a failed write, since progress is for a person to watch.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, "localstack: "+format+"\n", args...)
}
