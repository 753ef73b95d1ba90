//go:build unix

package isolation

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func flags(t *testing.T, args ...string) config {
	t.Helper()
	var c config
	f := campaign.NewFlags("isolation", io.Discard)
	c.declare(f)
	if err := f.Parse(append([]string{"-logs", t.TempDir()}, args...)); err != nil {
		t.Fatal(err)
	}
	return c
}

// The campaign works, whatever its times: every phase measured events, the faults happened, and the history is
// in order.
func TestPhasesAreMeasuredAndJudged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, err := measure(t.Context(), flags(t, "-rounds", "1", "-phase", "1s", "-faults", "poison,refused", "-hand-overs", "0", "-kills", "0"), &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	ratios := r.ratios()
	if len(ratios) != 2 || len(r.played) != 6 || len(r.verdicts) != 1 || !r.verdicts[0].OK() || r.verdicts[0].DeadLetters == 0 {
		t.Fatalf("%d ratios of %d phases\n%s", len(ratios), len(r.played), r.text())
	}
	for _, one := range ratios {
		if one.events < 50 || one.calm <= 0 || one.during <= 0 || one.value() <= 0 {
			t.Errorf("%+v", one)
		}
	}
}

// made returns a report with a calm p99 of 10 ms and one of the given length in
// each phase of the fault hot.
func made(during ...time.Duration) *report { return madeOf("hot", during...) }

// madeOf is made for another fault.
func madeOf(fault string, during ...time.Duration) *report {
	m := newMeter()
	r := &report{meter: m, verdicts: []*history.Verdict{{Committed: 1}}}
	phase := func(fault string, took time.Duration) {
		number := m.next()
		at := time.Unix(int64(number), 0)
		for range 100 {
			e := history.Event{EventID: uuid.New(), Lane: outbox.Lane{Destination: watched}}
			m.quiet(at, []history.Event{e})
			m.accepted(history.Acceptance{EventID: e.EventID, At: at.Add(took)})
			m.accepted(history.Acceptance{EventID: e.EventID, At: at.Add(time.Hour), Suppressed: true})
		}
		r.played = append(r.played, played{fault, number})
	}
	phase("calm", 10*time.Millisecond)
	for _, d := range during {
		phase(fault, d)
		phase("calm", 10*time.Millisecond)
	}
	return r
}

func TestBarsCanBeMissed(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for want, r := range map[string]*report{
		"| 10.0 ms | 15.0 ms | 1.00, 1.20, 1.50 | < 2, met |":    made(10*ms, 15*ms, 12*ms),
		"| 10.0 ms | 90.0 ms | 1.00, 1.20, 9.00 | < 2, met |":    made(10*ms, 90*ms, 12*ms),
		"| 10.0 ms | 25.0 ms | 2.50, 2.50, 2.50 | < 2, MISSED |": made(25 * ms),
	} {
		if text := r.text(); !strings.Contains(text, want) || r.ok() == strings.Contains(want, "MISSED") {
			t.Errorf("ok = %v, want %s in\n%s", r.ok(), want, text)
		}
	}
	for want, r := range map[string]*report{
		"| 10.0 ms | 15.0 ms | 1.50 | 0.00 % | 0 | ratio at most 1.5, none unsent, met |":                                  madeOf("reset-20", 15*ms, 12*ms),
		"| 10.0 ms | 16.0 ms | 1.60 | 0.00 % | 0 | ratio at most 1.5, none unsent, MISSED |":                               madeOf("reset-1", 16*ms, 12*ms),
		"| 10.0 ms | 1600.0 ms | 160.00 | 0.00 % | 0 | at most 0.5 % of those in other calls later, none unsent, met |":    madeOf("slow-calls", 1600*ms, 12*ms),
		"| 10.0 ms | 1300.0 ms | 130.00 | 100.00 % | 0 | at most 0.5 % of those in other calls later, none unsent, MISSED": madeOf("slow-calls", 1300*ms),
	} {
		if text := r.text(); !strings.Contains(text, want) || r.ok() == strings.Contains(want, "MISSED") {
			t.Errorf("ok = %v, want %s in\n%s", r.ok(), want, text)
		}
	}
	unsent := madeOf("unanswered-1", 10*ms)
	unsent.unsent = map[string]int{"unanswered-1": 1}
	gap := made(10 * ms)
	gap.gaps = []time.Duration{300 * ms, 20 * ms}
	late := made(10 * ms)
	late.failovers = []time.Duration{time.Minute}
	wrong := made(10 * ms)
	wrong.verdicts = append(wrong.verdicts, &history.Verdict{Committed: 1, Violations: map[history.Kind]int{history.Lost: 1}})
	for _, r := range []*report{gap, late, wrong, unsent} {
		if r.ok() {
			t.Errorf("ok:\n%s", r.text())
		}
	}
}

func TestPauseIsTheLongestTimeWithoutAnAcceptance(t *testing.T) {
	t.Parallel()
	m := newMeter()
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	for _, ms := range []int{0, 500, 510, 560, 570, 1570} {
		m.accepted(history.Acceptance{EventID: uuid.New(), At: at(ms)})
	}
	for _, c := range [][3]int{{505, 565, 50}, {511, 555, 50}, {561, 570, 10}, {400, 520, 500}, {600, 700, 1000}} {
		if got := m.pause(at(c[0]), at(c[1])); got != time.Duration(c[2])*time.Millisecond {
			t.Errorf("from %d to %d: %s, want %d ms", c[0], c[1], got, c[2])
		}
	}
}

func TestFlagsNameEveryFault(t *testing.T) {
	t.Parallel()
	f := campaign.NewFlags("isolation", io.Discard)
	new(config).declare(f)
	err := f.Parse([]string{"-rounds", "0", "-phase", "1ms", "-quiet", "0", "-rate", "1", "-low-rate", "1", "-low-rounds", "0", "-hot-rate", "1", "-kills", "-1", "-hand-overs", "-1s", "-faults", "rain"})
	for _, name := range []string{"-rounds", "-phase", "-quiet", "-rate", "-low-rate", "-low-rounds", "-hot-rate", "-kills", "-hand-overs", `"rain"`} {
		if err == nil || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("err = %v, want it to name %s", err, name)
		}
	}
}
