//go:build unix

package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func plan(t *testing.T, format string, args ...any) *Plan {
	t.Helper()
	p := &Plan{}
	if err := p.UnmarshalText(fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanHappensAtTheNthPassingAsOftenAsItMay(t *testing.T) {
	t.Parallel()
	ledger := t.TempDir()
	text := `{"step":"sent","fault":"error","nth":3,"times":2,"ledger":%q}`
	var got []int
	for process := range 2 {
		p := plan(t, text, ledger)
		for n := range 8 {
			if err := p.At(t.Context(), Answered); err != nil {
				t.Errorf("at another step: %v", err)
			}
			if err := p.At(t.Context(), Sent); err != nil {
				if !errors.Is(err, ErrInjected) {
					t.Error(err)
				}
				got = append(got, 10*process+n)
			}
		}
	}
	if fmt.Sprint(got) != "[2 5]" {
		t.Errorf("happened at %v, want at 2 and 5 of the first process", got)
	}
	hits, err := Hits(ledger)
	if err != nil || len(hits) != 2 || hits[0].PID != os.Getpid() || hits[1].At.Before(hits[0].At) {
		t.Errorf("hits %v, %v", hits, err)
	}
}

func TestPlanTellsOfUnknownOutcomes(t *testing.T) {
	t.Parallel()
	ledger := t.TempDir()
	if all, err := AllUnanswered(ledger); err != nil || all != nil {
		t.Errorf("%v, %v, want nothing", all, err)
	}
	for range 2 {
		plan(t, `{"step":"sent","fault":"error","ledger":%q}`, ledger).Unknown([]string{"a", "b"})
	}
	all, err := AllUnanswered(ledger)
	if err != nil || len(all) != 2 || len(all[1].DeduplicationIDs) != 2 || all[1].At.Before(all[0].At) {
		t.Errorf("%v, %v", all, err)
	}
}

func TestPlanNamesEveryFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"step":"lunch","fault":"rain","nth":-1}`:          {`"lunch"`, `"rain"`, "negative", "ledger"},
		`{"step":"accepted","fault":"error","ledger":"x"}`:  {"no call is under way at accepted"},
		`{"step":"marked","fault":"lost_answer","nth":1}`:   {"no call is under way at marked", "ledger"},
		`{"step":"sent","fault":"kill","ledger":"x","a":1,`: {"failpoint"},
	} {
		err := new(Plan).UnmarshalText([]byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %s", text, err, w)
			}
		}
	}
	for _, s := range Steps() {
		for _, f := range Faults() {
			err := new(Plan).UnmarshalText(fmt.Appendf(nil, `{"step":%q,"fault":%q,"ledger":"x"}`, s, f))
			if want := s.IsCall() || f == Kill || f == Freeze; (err == nil) != want {
				t.Errorf("%s at %s: %v", f, s, err)
			}
		}
	}
}

func TestLostAnswerTakesAllTheTimeOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := plan(t, `{"step":"settled","fault":"lost_answer","ledger":%q}`, t.TempDir()).At(ctx, Settled)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 600*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestFreezeAndKillReachThisProcess(t *testing.T) {
	t.Parallel()
	for fault, want := range map[Fault]syscall.Signal{Kill: syscall.SIGKILL, Freeze: syscall.SIGSTOP} {
		p := plan(t, `{"step":"sent","fault":%q,"ledger":%q}`, fault, t.TempDir())
		var got syscall.Signal
		p.signal = func(s syscall.Signal) { got = s }
		if err := p.At(t.Context(), Sent); err != nil || got != want {
			t.Errorf("%s: signal %v, %v", fault, got, err)
		}
	}
}

// TestKillEndsAProcess is two processes: the second one kills itself.
func TestKillEndsAProcess(t *testing.T) {
	t.Parallel()
	if ledger := os.Getenv("OUTBOX_TEST_KILL"); ledger != "" {
		_ = plan(t, `{"step":"sent","fault":"kill","ledger":%q}`, ledger).At(t.Context(), Sent)
		t.Fatal("still there")
	}
	ledger := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKillEndsAProcess$") //nolint:gosec // This program.
	cmd.Env = append(os.Environ(), "OUTBOX_TEST_KILL="+ledger)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL { //nolint:errcheck,forcetypeassert // This is unix.
		t.Fatalf("%v\n%s", err, out)
	}
	if hits, err := Hits(ledger); err != nil || len(hits) != 1 || hits[0].PID != cmd.Process.Pid {
		t.Errorf("hits %v, %v", hits, err)
	}
}
