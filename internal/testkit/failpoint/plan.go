//go:build unix

package failpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Fault is what a plan does at its step.
type Fault string

const (
	// Kill ends the process with SIGKILL.
	Kill Fault = "kill"
	// Fail lets the call fail at once.
	Fail Fault = "error"
	// Lose lets the call wait, without an answer, until its time is over.
	Lose Fault = "lost_answer"
	// Freeze stops the process with SIGSTOP until its parent sends SIGCONT.
	Freeze Fault = "freeze"
)

// Faults returns all faults.
func Faults() []Fault { return []Fault{Kill, Fail, Lose, Freeze} }

// ErrInjected is the error of a call that [Fail] hit.
var ErrInjected = errors.New("injected by a failpoint")

// Plan is a [Hook] that does one fault at one step, and records in a folder what it
// did and which outcomes the relay saw as unknown. A plan without step and fault does
// nothing and records the outcomes only.
type Plan struct {
	Step  Step  `json:"step"`
	Fault Fault `json:"fault"`
	// Nth makes the fault happen at every nth time that a process passes the step, until
	// Times is used up. Defaults to 1, each time.
	Nth int `json:"nth,omitempty"`
	// Times is how often the fault happens at most, in all processes that share Ledger.
	// Defaults to 1.
	Times int `json:"times,omitempty"`
	// Ledger is the folder of the records, which must exist. Required.
	Ledger string `json:"ledger"`

	mu sync.Mutex
	// passed counts how often this process has passed the step.
	passed int
	// signal, set by tests, is called in the place of a signal to this process. Nil sends the signal.
	signal func(syscall.Signal)
}

// Hit is the record of one fault: when it was done, right before its effect, and in which process.
type Hit struct {
	At  time.Time `json:"at"`
	PID int       `json:"pid"`
}

// Unanswered is the record of one call of a destination: when the call returned, and the
// messages whose outcome was unknown to the relay then.
type Unanswered struct {
	At               time.Time `json:"at"`
	DeduplicationIDs []string  `json:"deduplication_ids"`
}

// unansweredFile is the file in the folder of a plan that has one [Unanswered] a line.
const unansweredFile = "unanswered.jsonl"

// UnmarshalText reads a plan from JSON, and returns everything that is wrong with it.
func (p *Plan) UnmarshalText(text []byte) error {
	type plain Plan // has no methods
	if err := json.Unmarshal(text, (*plain)(p)); err != nil {
		return fmt.Errorf("failpoint: %w", err)
	}
	var faults []error
	none := p.Step == "" && p.Fault == ""
	if !none && !p.Step.known() {
		faults = append(faults, fmt.Errorf("failpoint: step: there is no %q", p.Step))
	}
	if !none && !slices.Contains(Faults(), p.Fault) {
		faults = append(faults, fmt.Errorf("failpoint: fault: there is no %q", p.Fault))
	}
	if !p.Step.IsCall() && (p.Fault == Fail || p.Fault == Lose) {
		faults = append(faults, fmt.Errorf("failpoint: no call is under way at %s that could have the fault %s", p.Step, p.Fault))
	}
	if p.Nth < 0 || p.Times < 0 {
		faults = append(faults, errors.New("failpoint: nth and times must not be negative"))
	}
	if p.Ledger == "" {
		faults = append(faults, errors.New("failpoint: ledger is required"))
	}
	return errors.Join(faults...)
}

// At implements [Hook]: it does the fault when s is the plan's step, passed an nth time, and the fault was done fewer
// than Times times. Fail returns ErrInjected, and Lose the cause of the end of ctx. A record that cannot be written is
// another error, and no fault is done.
func (p *Plan) At(ctx context.Context, s Step) error {
	if s != p.Step || !p.due() {
		return nil
	}
	claimed, err := p.claim()
	if err != nil || !claimed {
		return err
	}
	switch p.Fault {
	case Kill:
		p.send(syscall.SIGKILL)
	case Freeze:
		p.send(syscall.SIGSTOP)
	case Fail:
		return ErrInjected
	case Lose:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}

// Unknown implements [Hook]: it adds an [Unanswered] to the records. A failure to write it is ignored.
func (p *Plan) Unknown(ids []string) {
	line, err := json.Marshal(Unanswered{At: time.Now(), DeduplicationIDs: ids})
	if err != nil {
		return // Strings always encode.
	}
	f, err := os.OpenFile(filepath.Join(p.Ledger, unansweredFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // The resend then has no cause, and fails its run.
	}
	_, _ = f.Write(append(line, '\n')) // As above.
	_ = f.Close()
}

// due counts a passing of the step, and reports whether it is an nth one.
func (p *Plan) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed++
	return p.passed%max(1, p.Nth) == 0
}

// claim takes one of the Times that no process has taken, by making its record, and
// returns false when all are taken.
func (p *Plan) claim() (bool, error) {
	for n := range max(1, p.Times) {
		name := filepath.Join(p.Ledger, fmt.Sprintf("%d.json", n))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("failpoint: %w", err)
		}
		err = json.NewEncoder(f).Encode(Hit{At: time.Now(), PID: os.Getpid()})
		return true, errors.Join(err, f.Close())
	}
	return false, nil
}

// send sends the signal to this process. It does not return from SIGKILL.
func (p *Plan) send(s syscall.Signal) {
	if p.signal != nil {
		p.signal(s)
		return
	}
	_ = syscall.Kill(os.Getpid(), s) // A process may always signal itself.
	if s == syscall.SIGKILL {
		select {}
	}
}

// Hits returns the faults that plans with this folder have recorded so far, in order. A record that is still being
// written ends the list.
func Hits(ledger string) ([]Hit, error) {
	var hits []Hit
	for n := 0; ; n++ {
		text, err := os.ReadFile(filepath.Join(ledger, fmt.Sprintf("%d.json", n)))
		if errors.Is(err, os.ErrNotExist) {
			return hits, nil
		}
		if err != nil {
			return nil, fmt.Errorf("failpoint: %w", err)
		}
		var h Hit
		if len(text) == 0 {
			return hits, nil // The record is still being written.
		}
		if err := json.Unmarshal(text, &h); err != nil {
			return nil, fmt.Errorf("failpoint: %w", err)
		}
		hits = append(hits, h)
	}
}

// AllUnanswered returns the calls with messages of unknown outcome that plans with this
// folder have recorded so far, in order. Without a record it returns nil and no error.
func AllUnanswered(ledger string) ([]Unanswered, error) {
	f, err := os.Open(filepath.Join(ledger, unansweredFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("failpoint: %w", err)
	}
	defer f.Close() //nolint:errcheck // The file was only read.
	var all []Unanswered
	for d := json.NewDecoder(f); ; {
		var u Unanswered
		err := d.Decode(&u)
		// A process that was killed may leave half a line as the last.
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("failpoint: %w", err)
		}
		all = append(all, u)
	}
}
