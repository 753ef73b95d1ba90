// Package tuning carries settings of a relay that have no variable into the program that tests run in its place.
package tuning

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Variable is the name of the environment variable whose value is a Tuning, for the program that tests run.
const Variable = "OUTBOX_TEST_TUNING"

// Tuning replaces settings of a relay. A zero field leaves the setting as it is.
type Tuning struct {
	// Margin and ConnectTimeout are fields of [boot.Relay].
	Margin         time.Duration `json:",omitzero"`
	ConnectTimeout time.Duration `json:",omitzero"`

	// The other fields are those of [relay.Config].
	LeaseTTL      time.Duration `json:",omitzero"`
	RenewEvery    time.Duration `json:",omitzero"`
	JoinWindow    time.Duration `json:",omitzero"`
	SendTimeout   time.Duration `json:",omitzero"`
	RetryMax      time.Duration `json:",omitzero"`
	SettleEvery   time.Duration `json:",omitzero"`
	ShutdownGrace time.Duration `json:",omitzero"`
}

// Or returns t with the values of other in its zero fields.
func (t Tuning) Or(other Tuning) Tuning {
	return Tuning{
		Margin:         cmp.Or(t.Margin, other.Margin),
		ConnectTimeout: cmp.Or(t.ConnectTimeout, other.ConnectTimeout),
		LeaseTTL:       cmp.Or(t.LeaseTTL, other.LeaseTTL),
		RenewEvery:     cmp.Or(t.RenewEvery, other.RenewEvery),
		JoinWindow:     cmp.Or(t.JoinWindow, other.JoinWindow),
		SendTimeout:    cmp.Or(t.SendTimeout, other.SendTimeout),
		RetryMax:       cmp.Or(t.RetryMax, other.RetryMax),
		SettleEvery:    cmp.Or(t.SettleEvery, other.SettleEvery),
		ShutdownGrace:  cmp.Or(t.ShutdownGrace, other.ShutdownGrace),
	}
}

// MarshalText returns t as JSON: the value of the environment variable that [Variable] names.
func (t Tuning) MarshalText() ([]byte, error) {
	type plain Tuning // has no methods
	return json.Marshal(plain(t))
}

// UnmarshalText reads the JSON that MarshalText returns.
func (t *Tuning) UnmarshalText(text []byte) error {
	type plain Tuning // has no methods
	if err := json.Unmarshal(text, (*plain)(t)); err != nil {
		return fmt.Errorf("tuning: %w", err)
	}
	return nil
}

// Function puts Margin and ConnectTimeout, where they are not zero, into the configuration of the function.
func (t Tuning) Function(cfg *boot.Relay) {
	cfg.Margin = cmp.Or(t.Margin, cfg.Margin)
	cfg.ConnectTimeout = cmp.Or(t.ConnectTimeout, cfg.ConnectTimeout)
}

// Engine puts the other settings than Margin and ConnectTimeout, where they are not zero, into the configuration of
// the engine.
func (t Tuning) Engine(cfg *relay.Config) {
	cfg.LeaseTTL = cmp.Or(t.LeaseTTL, cfg.LeaseTTL)
	cfg.RenewEvery = cmp.Or(t.RenewEvery, cfg.RenewEvery)
	cfg.JoinWindow = cmp.Or(t.JoinWindow, cfg.JoinWindow)
	cfg.SendTimeout = cmp.Or(t.SendTimeout, cfg.SendTimeout)
	cfg.RetryMax = cmp.Or(t.RetryMax, cfg.RetryMax)
	cfg.SettleEvery = cmp.Or(t.SettleEvery, cfg.SettleEvery)
	cfg.ShutdownGrace = cmp.Or(t.ShutdownGrace, cfg.ShutdownGrace)
}
