//go:build unix

package lambdahost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

// buildOnce builds testdata/function into a directory that TestMain removes.
var buildOnce = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "bootstrap")
	cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/function")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lambdahost-")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// plenty is a timeout that no healthy test reaches.
const plenty = 4 * time.Minute

// short is the timeout of functions that are to meet it. A process must start and
// answer within it, also on a busy machine.
const short = 5 * time.Second

func newFunction(t *testing.T, cfg lambdahost.Config) *lambdahost.Function {
	t.Helper()
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Binary = binary
	if cfg.Timeout == 0 {
		cfg.Timeout = plenty
	}
	f, err := lambdahost.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.Close(ctx) // It cuts off what still runs; tests that care close by themselves.
	})
	return f
}

type answer struct {
	Text        string
	PID         int
	Invocations int
	Beats       int64
	RequestID   string `json:"request_id"`
	ARN         string
	Remaining   time.Duration
	Env         map[string]string
}

func request(do, text string) []byte {
	b, err := json.Marshal(map[string]string{"do": do, "text": text, "until": text})
	if err != nil {
		panic(err)
	}
	return b
}

func invoke(t *testing.T, f *lambdahost.Function, payload []byte) (answer, lambdahost.Response) {
	t.Helper()
	r, err := f.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("invoke: %v", err)
	}
	var a answer
	if err := json.Unmarshal(r.Payload, &a); err != nil {
		t.Fatalf("payload %q: %v", r.Payload, err)
	}
	return a, r
}

// lines collects output and lets a test wait for a line.
type lines struct {
	c chan lambdahost.Line
}

func collect() lines { return lines{make(chan lambdahost.Line, 1000)} }

func (l lines) add(line lambdahost.Line) { l.c <- line }

func (l lines) wait(t *testing.T, text string) lambdahost.Line {
	t.Helper()
	for {
		select {
		case line := <-l.c:
			if strings.Contains(line.Text, text) {
				return line
			}
		case <-time.After(plenty):
			t.Fatalf("no line %q", text)
		}
	}
}

func functionError(t *testing.T, err error, wantType string) *lambdahost.FunctionError {
	t.Helper()
	var fe *lambdahost.FunctionError
	if !errors.As(err, &fe) {
		t.Fatalf("err = %v, want a FunctionError", err)
	}
	if fe.Type != wantType {
		t.Fatalf("type = %s (%s), want %s", fe.Type, fe.Message, wantType)
	}
	return fe
}

func TestInvokeReturnsTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFunction(t, lambdahost.Config{Name: "relay", Memory: 512, Region: "eu-west-1", Env: map[string]string{"MINE": "yes"}})
	a, r := invoke(t, f, request("echo", "hello"))
	if a.Text != "hello" || a.RequestID != r.RequestID || a.RequestID == "" {
		t.Errorf("answer %+v to request %s", a, r.RequestID)
	}
	if want := "arn:aws:lambda:eu-west-1:000000000000:function:relay"; a.ARN != want {
		t.Errorf("arn = %s, want %s", a.ARN, want)
	}
	if a.Remaining <= 0 || a.Remaining > plenty {
		t.Errorf("remaining = %s, want within %s", a.Remaining, plenty)
	}
	for name, want := range map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "relay", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_REGION": "eu-west-1", "AWS_LAMBDA_LOG_FORMAT": "JSON",
		"LAMBDA_TASK_ROOT": buildDir, "HOME": "", "MINE": "yes",
	} {
		if got := a.Env[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestIdleEnvironmentIsUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFunction(t, lambdahost.Config{})
	first, cold := invoke(t, f, request("echo", ""))
	second, warm := invoke(t, f, request("echo", ""))
	if first.PID != second.PID || second.Invocations != 2 {
		t.Errorf("first %+v, second %+v: want one process", first, second)
	}
	if cold.ColdStart <= 0 || warm.ColdStart != 0 {
		t.Errorf("cold starts %s, %s: want only the first", cold.ColdStart, warm.ColdStart)
	}
}

func TestErrorOfTheHandlerKeepsTheEnvironment(t *testing.T) {
	t.Parallel()
	f := newFunction(t, lambdahost.Config{})
	r, err := f.Invoke(t.Context(), request("fail", "no such order"))
	fe := functionError(t, err, "errorString")
	if fe.Message != "no such order" || fe.RequestID != r.RequestID || r.Payload != nil {
		t.Errorf("error %+v, response %+v", fe, r)
	}
	if a, _ := invoke(t, f, request("echo", "")); a.Invocations != 2 {
		t.Errorf("invocations = %d, want the same process again", a.Invocations)
	}
}

func TestPanicAndExitEndTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do, text, wantType, wantMessage string
	}{
		"panic": {"panic", "boom", "string", "boom"},
		"exit":  {"exit", "4", lambdahost.TypeExit, "exit status 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFunction(t, lambdahost.Config{})
			before, _ := invoke(t, f, request("echo", ""))
			_, err := f.Invoke(t.Context(), request(tt.do, tt.text))
			if fe := functionError(t, err, tt.wantType); !strings.Contains(fe.Message, tt.wantMessage) {
				t.Errorf("message = %q, want %q", fe.Message, tt.wantMessage)
			}
			after, r := invoke(t, f, request("echo", ""))
			if after.PID == before.PID || r.ColdStart == 0 {
				t.Errorf("after %+v %+v: want a new process", after, r)
			}
		})
	}
}

func TestDeadlineKills(t *testing.T) {
	t.Parallel()
	f := newFunction(t, lambdahost.Config{Timeout: short})
	before, _ := invoke(t, f, request("echo", ""))
	_, err := f.Invoke(t.Context(), request("sleep", ""))
	if fe := functionError(t, err, lambdahost.TypeTimeout); !strings.Contains(fe.Message, "Task timed out after 5.00 seconds") {
		t.Errorf("message = %q", fe.Message)
	}
	gone(t, before.PID)
	if after, _ := invoke(t, f, request("echo", "")); after.PID == before.PID {
		t.Error("a killed process answered")
	}
}

func TestKillEndsARunningInvocation(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add})
	errs := make(chan error, 1)
	go func() {
		_, err := f.Invoke(t.Context(), request("sleep", ""))
		errs <- err
	}()
	line := out.wait(t, "sleeping")
	if running := f.Running(); len(running) != 1 || running[0].RequestID != line.RequestID || line.RequestID == "" {
		t.Fatalf("running = %+v, want %s", running, line.RequestID)
	}
	if err := f.Kill(line.RequestID); err != nil {
		t.Fatal(err)
	}
	if fe := functionError(t, <-errs, lambdahost.TypeExit); !strings.Contains(fe.Message, "signal: killed") {
		t.Errorf("message = %q, want the signal", fe.Message)
	}
	if err := f.Kill(line.RequestID); !errors.Is(err, lambdahost.ErrNotRunning) {
		t.Errorf("second kill: %v, want %v", err, lambdahost.ErrNotRunning)
	}
}

func TestPausedInvocationStillMeetsItsDeadline(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add, Timeout: short})
	errs := make(chan error, 1)
	go func() {
		_, err := f.Invoke(t.Context(), request("sleep", ""))
		errs <- err
	}()
	if err := f.Pause(out.wait(t, "sleeping").RequestID); err != nil {
		t.Fatal(err)
	}
	_ = functionError(t, <-errs, lambdahost.TypeTimeout)
}

func TestPausedInvocationResumes(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add})
	done := filepath.Join(t.TempDir(), "done")
	errs := make(chan error, 1)
	go func() {
		_, err := f.Invoke(t.Context(), request("wait", done))
		errs <- err
	}()
	id := out.wait(t, "waiting").RequestID
	if err := f.Pause(id); err != nil {
		t.Fatal(err)
	}
	touch(t, done)
	select {
	case err := <-errs:
		t.Fatalf("a paused invocation ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := f.Resume(id); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInvocationsOverlapUpToTheConcurrency(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add, MaxConcurrency: 2})
	done := filepath.Join(t.TempDir(), "done")
	pids := make(chan int, 2)
	for range 2 {
		go func() {
			a, _ := invoke(t, f, request("wait", done))
			pids <- a.PID
		}()
	}
	first, second := out.wait(t, "waiting"), out.wait(t, "waiting")
	if first.Environment == second.Environment || first.RequestID == second.RequestID {
		t.Errorf("%+v and %+v: want two environments", first, second)
	}
	if _, err := f.Invoke(t.Context(), request("echo", "")); !errors.Is(err, lambdahost.ErrThrottled) {
		t.Errorf("third: %v, want %v", err, lambdahost.ErrThrottled)
	}
	touch(t, done)
	if a, b := <-pids, <-pids; a == b {
		t.Errorf("both ran in process %d", a)
	}
	invoke(t, f, request("echo", ""))
}

func TestIdleEnvironmentIsFrozen(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add})
	// A process that is not frozen counts milliseconds while it is idle as it does during
	// an invocation. How many that are, and how long a frozen one is awake around its
	// idle time, depends on what else the machine does: so the two are compared, more
	// than once.
	const idle = 300 * time.Millisecond
	var frozen, running int64
	for range 10 {
		first, _ := invoke(t, f, request("echo", ""))
		<-time.After(idle)
		second, _ := invoke(t, f, request("echo", ""))
		until := filepath.Join(t.TempDir(), "until")
		third := make(chan answer, 1)
		go func() {
			a, _ := invoke(t, f, request("wait", until))
			third <- a
		}()
		out.wait(t, "waiting")
		<-time.After(idle)
		touch(t, until)
		last := <-third
		if first.PID != last.PID {
			t.Fatalf("processes %d and %d, want one", first.PID, last.PID)
		}
		frozen, running = second.Beats-first.Beats, last.Beats-second.Beats
		if 2*frozen < running {
			return
		}
	}
	t.Errorf("beats in %s: idle %d, busy %d", idle, frozen, running)
}

func TestProcessThatCannotStart(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add, Env: map[string]string{"FAIL_INIT": "1"}})
	_, err := f.Invoke(t.Context(), request("echo", ""))
	if fe := functionError(t, err, lambdahost.TypeExit); !strings.Contains(fe.Message, "exit status 3") {
		t.Errorf("message = %q", fe.Message)
	}
	if line := out.wait(t, "cannot start"); line.RequestID != "" {
		t.Errorf("line = %+v, want one of no invocation", line)
	}
	missing, err := lambdahost.New(lambdahost.Config{Binary: filepath.Join(t.TempDir(), "bootstrap")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Invoke(t.Context(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing binary: %v, want %v", err, os.ErrNotExist)
	}
}

func TestLastLineNeedsNoEnd(t *testing.T) {
	t.Parallel()
	out := collect()
	f := newFunction(t, lambdahost.Config{Output: out.add})
	r, err := f.Invoke(t.Context(), request("exit", "1"))
	_ = functionError(t, err, lambdahost.TypeExit)
	if line := out.wait(t, "no newline at the end"); line.RequestID != r.RequestID {
		t.Errorf("line = %+v, want one of %s", line, r.RequestID)
	}
}

func pidOf(t *testing.T, f *lambdahost.Function, line lambdahost.Line) int {
	t.Helper()
	for _, r := range f.Running() {
		if r.RequestID == line.RequestID {
			return r.PID
		}
	}
	t.Fatalf("%s does not run", line.RequestID)
	return 0
}

func gone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v, want it gone", pid, err)
	}
}

func TestCloseWaitsAndThenKills(t *testing.T) {
	t.Parallel()
	t.Run("waits", func(t *testing.T) {
		t.Parallel()
		out := collect()
		f := newFunction(t, lambdahost.Config{Output: out.add})
		done := filepath.Join(t.TempDir(), "done")
		errs := make(chan error, 1)
		go func() {
			_, err := f.Invoke(t.Context(), request("wait", done))
			errs <- err
		}()
		pid := pidOf(t, f, out.wait(t, "waiting"))
		touch(t, done)
		if err := f.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-errs; err != nil {
			t.Errorf("the invocation that ran: %v", err)
		}
		gone(t, pid)
		if _, err := f.Invoke(t.Context(), nil); !errors.Is(err, lambdahost.ErrClosed) {
			t.Errorf("invoke after close: %v, want %v", err, lambdahost.ErrClosed)
		}
	})
	t.Run("kills", func(t *testing.T) {
		t.Parallel()
		out := collect()
		f := newFunction(t, lambdahost.Config{Output: out.add})
		errs := make(chan error, 1)
		go func() {
			_, err := f.Invoke(t.Context(), request("sleep", ""))
			errs <- err
		}()
		pid := pidOf(t, f, out.wait(t, "sleeping"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("close: %v, want %v", err, context.Canceled)
		}
		_ = functionError(t, <-errs, lambdahost.TypeExit)
		gone(t, pid)
	})
}

func TestShutdownSignalReachesAProcessThatAskedForIt(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "term")
	f := newFunction(t, lambdahost.Config{Env: map[string]string{"TERM_FILE": file}})
	invoke(t, f, request("echo", ""))
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "term" {
		t.Errorf("the process left %q, %v", b, err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := lambdahost.New(lambdahost.Config{Timeout: -1, MaxConcurrency: -1})
	for _, field := range []string{"Binary", "Timeout", "MaxConcurrency"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("err = %v, want it to name %s", err, field)
		}
	}
}
