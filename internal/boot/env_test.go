package boot

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func environ(more ...string) map[string]string {
	m := map[string]string{
		"OUTBOX_DATABASE_URL": "postgres://relay:hush@db.example:5432/app?sslmode=verify-full",
		"OUTBOX_DESTINATIONS": `{"default":"arn:aws:sqs:eu-west-1:123456789012:orders.fifo"}`,
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func TestDefaultsAreThoseOfTheRelay(t *testing.T) {
	t.Parallel()
	r, err := Parse[Relay](environ())
	if err != nil {
		t.Fatal(err)
	}
	want := relay.Config{
		Relays: relay.DefaultRelays, LeaseTTL: relay.DefaultLeaseTTL, RenewEvery: relay.DefaultRenewEvery,
		JoinWindow: relay.DefaultJoinWindow, SendTimeout: relay.DefaultSendTimeout, Concurrency: relay.DefaultConcurrency, Linger: relay.DefaultLinger,
		Window: relay.DefaultWindow, WindowBytes: relay.DefaultWindowBytes, LaneWindow: relay.DefaultLaneWindow,
		FetchLimit: relay.DefaultFetchLimit, PollBusy: relay.DefaultPollBusy, PollIdle: relay.DefaultPollIdle,
		SettleEvery: relay.DefaultSettleEvery, SettleLimit: relay.DefaultSettleLimit, RetryMin: relay.DefaultRetryMin,
		RetryMax: relay.DefaultRetryMax, MaxAttempts: relay.DefaultMaxAttempts, ShutdownGrace: relay.DefaultShutdownGrace,
		ReportEvery: relay.DefaultReportEvery, SweepEvery: relay.DefaultSweepEvery,
	}
	got := r.Config()
	if a, b := settings(got), settings(want); !maps.Equal(a, b) {
		t.Errorf("got  %v\nwant %v", a, b)
	}
	if r.Margin != 8*time.Second || pgx.QueryExecMode(r.ExecMode) != pgx.QueryExecModeCacheDescribe {
		t.Errorf("margin %v, mode %v", r.Margin, r.ExecMode)
	}
}

func TestEveryVariableReachesTheConfiguration(t *testing.T) {
	t.Parallel()
	base, err := Parse[Relay](environ())
	if err != nil {
		t.Fatal(err)
	}
	tuned := map[string]string{
		"OUTBOX_RELAYS": "3", "OUTBOX_LEASE_TTL": "7s", "OUTBOX_RENEW_EVERY": "2s", "OUTBOX_JOIN_WINDOW": "126s",
		"OUTBOX_SEND_TIMEOUT": "3s", "OUTBOX_CONCURRENCY": "4", "OUTBOX_LINGER": "5ms", "OUTBOX_WINDOW": "5", "OUTBOX_WINDOW_BYTES": "6",
		"OUTBOX_LANE_WINDOW": "7", "OUTBOX_FETCH_LIMIT": "8", "OUTBOX_POLL_BUSY": "9ms", "OUTBOX_POLL_IDLE": "9ms",
		"OUTBOX_SETTLE_EVERY": "11ms", "OUTBOX_SETTLE_LIMIT": "12", "OUTBOX_RETRY_MIN": "13ms", "OUTBOX_RETRY_MAX": "14s",
		"OUTBOX_MAX_ATTEMPTS": "-1", "OUTBOX_IDLE_EXIT": "16s", "OUTBOX_SHUTDOWN_GRACE": "6s", "OUTBOX_REPORT_EVERY": "18s",
		"OUTBOX_SWEEP_EVERY": "19s",
	}
	var pairs []string
	for k, v := range tuned {
		pairs = append(pairs, k, v)
	}
	r, err := Parse[Relay](environ(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	before, after := settings(base.Config()), settings(r.Config())
	if len(before) != len(tuned) {
		t.Errorf("relay.Config has %d settings, %d are variables here", len(before), len(tuned))
	}
	for name := range before {
		if before[name] == after[name] {
			t.Errorf("%s did not change", name)
		}
	}
}

func TestAllFaultsAreNamedAtOnceAndSecretsAreNot(t *testing.T) {
	t.Parallel()
	_, err := Parse[Relay](map[string]string{
		"OUTBOX_DATABASE_URL":  "postgres://relay:hush@db:port/app",
		"OUTBOX_DATABASE_AUTH": "magic",
		"OUTBOX_LEASE_TTL":     "soon",
		"OUTBOX_CONCURRENCY":   "0",
		"OUTBOX_MARGIN":        "5s",
		"OUTBOX_LOG_LEVEL":     "loud",
		"OUTBOX_EXEC_MODE":     "simple_protocol",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"OUTBOX_DATABASE_URL", "OUTBOX_DATABASE_AUTH", "OUTBOX_LEASE_TTL", "OUTBOX_CONCURRENCY",
		"OUTBOX_MARGIN", "OUTBOX_LOG_LEVEL", "OUTBOX_EXEC_MODE", "OUTBOX_DESTINATIONS",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the password is in:\n%v", err)
	}
}

func TestEmptyVariablesCountAsNotSet(t *testing.T) {
	t.Parallel()
	r, err := Parse[Relay](environ("OUTBOX_LEASE_TTL", "", "OUTBOX_DATABASE_SECRET_ARN", ""))
	if err != nil || r.LeaseTTL != 6*time.Second {
		t.Errorf("lease %v, error %v", r.LeaseTTL, err)
	}
	if _, err = Parse[Relay](environ("OUTBOX_DESTINATIONS", "")); err == nil || !strings.Contains(err.Error(), "OUTBOX_DESTINATIONS") {
		t.Errorf("error %v", err)
	}
}

func TestIAMNeedsTLS(t *testing.T) {
	t.Parallel()
	for mode, allowed := range map[string]bool{
		"disable": false, "allow": false, "prefer": false, "require": true, "verify-full": true,
	} {
		_, err := Parse[Relay](environ("OUTBOX_DATABASE_AUTH", "iam", "OUTBOX_DATABASE_TLS", "url", "OUTBOX_DATABASE_URL", "postgres://relay@db:5432/app?sslmode="+mode))
		if (err == nil) != allowed {
			t.Errorf("sslmode=%s: error %v", mode, err)
		}
	}
}

func TestTheCollectorRestsOnlyInLambdaAndWhenNobodySaidOtherwise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		process Process
		want    int64
	}{
		"in Lambda":       {Process{MemoryMB: 1769}, 1769 << 20 / 5 * 4},
		"elsewhere":       {Process{}, 0},
		"with GOGC":       {Process{MemoryMB: 1769, GOGC: "100"}, 0},
		"with GOMEMLIMIT": {Process{MemoryMB: 1769, GOMEMLIMIT: "1GiB"}, 0},
	} {
		if got, ok := c.process.memoryLimit(); got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: %d, %v; want %d", name, got, ok, c.want)
		}
	}
}
