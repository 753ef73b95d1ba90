package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// fleet is the relay function on this machine, with the counts of its invocations. It is safe for concurrent
// use.
type fleet struct {
	fn *lambdahost.Function

	mu    sync.Mutex
	stats fleetStats
}

// fleetStats counts invocations by how they ended. Failure is the error of the last one that failed, "" for none.
type fleetStats struct {
	Invocations int `json:"invocations"`
	// Standby counts invocations that found another relay at work and left at once.
	Standby int `json:"standby"`
	// Relays counts invocations that owned shards and answered, HandOvers those that gave theirs to the next relay
	// while there was work.
	Relays    int `json:"relays"`
	HandOvers int `json:"hand_overs"`
	// Killed counts invocations that the demo killed, Failed those that failed otherwise.
	Killed int `json:"killed"`
	Failed int `json:"failed"`
	// ColdStarts counts invocations that needed a new process, ColdStartMs is the time of the slowest of these
	// starts in milliseconds.
	ColdStarts  int     `json:"cold_starts"`
	ColdStartMs float64 `json:"slowest_cold_start_ms"`
	// Resent counts sends whose outcome was unknown to the relay, so that it sent the event again.
	Resent  int64  `json:"resent"`
	Failure string `json:"failure,omitempty"`
}

// newFleet returns the relay function of template.yaml, which runs the compiled program binary. Its runs are short, so
// that hand-overs can be watched, and each relay records in ledger which outcomes it saw as unknown. tick is the time
// between invocations; what the relays print goes to log.
func newFleet(s *stack, binary string, ledger rig.Ledger, tick time.Duration, log io.Writer) (*fleet, error) {
	env, err := s.outputs.Environment("RelayFunction")
	if err != nil {
		return nil, err
	}
	// No fault: the relay only records which outcomes it sees as unknown.
	recording, err := ledger.Env(&failpoint.Plan{})
	if err != nil {
		return nil, err
	}
	maps.Copy(env, recording)
	settings, err := tuning.Tuning{
		Margin: relayMargin, LeaseTTL: 4 * time.Second, ShutdownGrace: 2 * time.Second,
		// When the next tick starts a relay, less than this is left to the old one.
		JoinWindow: relayTimeout - relayMargin - tick/2,
	}.MarshalText()
	if err != nil {
		return nil, err
	}
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID":     "test",
		"AWS_SECRET_ACCESS_KEY": "test",
		"OUTBOX_IDLE_EXIT":      "3s",
		tuning.Variable:         string(settings),
	})
	f := &fleet{}
	f.fn, err = lambdahost.New(lambdahost.Config{
		Name: "relay", Binary: binary, Env: env, Region: region, Timeout: relayTimeout, Memory: 512,
		MaxConcurrency: 6, MaxEventAge: time.Minute, Done: f.done,
		Output: func(l lambdahost.Line) {
			_, _ = fmt.Fprintf(log, "relay %d: %s\n", l.Environment, l.Text)
		},
	})
	return f, err
}

// done counts an invocation that ended, by the relay's answer r or, when err is not nil, by err.
func (f *fleet) done(r lambdahost.Response, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := &f.stats
	st.Invocations++
	if r.ColdStart > 0 {
		st.ColdStarts++
		st.ColdStartMs = max(st.ColdStartMs, r.ColdStart.Seconds()*1000)
	}
	var summary relay.Summary
	if err == nil {
		err = json.Unmarshal(r.Payload, &summary)
	}
	if err != nil {
		var failure *lambdahost.FunctionError
		if errors.As(err, &failure) && failure.Type == lambdahost.TypeExit && strings.Contains(failure.Message, "killed") {
			st.Killed++
			return
		}
		st.Failed++
		st.Failure = err.Error()
		return
	}
	st.Resent += summary.Unknown
	switch {
	case summary.Outcome == relay.Standby:
		st.Standby++
	case summary.HandOvers > 0 && summary.Outcome != relay.Idle:
		st.HandOvers++
		st.Relays++
	default:
		st.Relays++
	}
}

func (f *fleet) snapshot() fleetStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// killOwner calls tell and kills, with SIGKILL, the process of the relay that owns the shards. It returns false, without
// a call of tell, when no relay does. It fails also when the relay ended by itself before the kill.
func (f *fleet) killOwner(ctx context.Context, pool *pgxpool.Pool, tell func()) (bool, error) {
	name, err := rig.Owner(ctx, pool, f.fn)
	if err != nil || name == "" {
		return false, err
	}
	tell()
	return true, f.fn.Kill(name)
}
