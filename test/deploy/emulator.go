package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/python"
)

//go:embed emulator.py
var emulatorProgram []byte

// emulator is a running ministack at url. It has CloudFormation, enforces IAM, fires schedules, and runs
// functions as processes of this machine. done is closed when its process has ended.
type emulator struct {
	url  string
	cert *certificate
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// startEmulator installs ministack where it is missing, starts one on a free port and returns once it answers;
// it fails after a minute without an answer. The emulator and its functions write files below dir only, and its
// output goes to emulator.log there.
func startEmulator(ctx context.Context, dir string) (*emulator, error) {
	bin, err := python.InstallTool(ctx, "ministack", os.Stderr)
	if err != nil {
		return nil, err
	}
	cert, err := newCertificate(dir)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort(ctx)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "emulator.py")
	if err = os.WriteFile(program, emulatorProgram, 0o600); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e := &emulator{url: "https://127.0.0.1:" + strconv.Itoa(port), cert: cert, done: make(chan struct{})}
	if e.log, err = os.Create(filepath.Join(dir, "emulator.log")); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e.cmd = exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(bin, "python"), program)
	e.cmd.Dir = dir
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	// Functions inherit this environment, which must have nothing of this machine's.
	e.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "SSL_CERT_FILE=" + cert.certFile,
		"BIND_HOST=127.0.0.1", "GATEWAY_PORT=" + strconv.Itoa(port), "LAMBDA_EXECUTOR=local", "IOT_MTLS_ENABLED=0",
		"AUTH=true", "USE_SSL=1", "MINISTACK_SSL_CERT=" + cert.certFile, "MINISTACK_SSL_KEY=" + cert.keyFile,
	}
	// A process group of its own, so that the functions end with the emulator.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	go func() {
		_ = e.cmd.Wait() // ended by a signal
		close(e.done)
	}()
	if err := e.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: %w (its output is in %s)", err, e.log.Name()), e.stop())
	}
	return e, nil
}

func (e *emulator) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &http.Client{Transport: e.cert.transport()}
	return until(ctx, "it answers", func(ctx context.Context) (bool, error) {
		select {
		case <-e.done:
			return false, errors.New("it ended by itself")
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/_ministack/health", http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := client.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}

// stop sends SIGTERM to the emulator and the functions that it runs, and SIGKILL to what is left once the emulator has
// ended, after five seconds at the latest. It returns when the emulator has ended, with the error of closing its log,
// and must be called once only.
func (e *emulator) stop() error {
	// A group that is gone is no error.
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGTERM)
	grace := time.NewTimer(5 * time.Second)
	defer grace.Stop()
	select {
	case <-e.done:
	case <-grace.C:
	}
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
	<-e.done
	return e.log.Close()
}

// until calls ask at once and then every 250 ms until it returns true. It fails when ask fails or ctx ends;
// what is the condition, for the text of the error.
func until(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if yes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
