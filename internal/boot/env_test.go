package boot

import (
	"strings"
	"testing"
	"testing/fstest"

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

func TestAllFaultsAreNamedAtOnceAndSecretsAreNot(t *testing.T) {
	t.Parallel()
	_, err := Parse[Relay](map[string]string{
		"OUTBOX_DATABASE_URL":  "postgres://relay:hush@db:port/app",
		"OUTBOX_DATABASE_AUTH": "magic",
		"OUTBOX_POLL_IDLE":     "soon",
		"OUTBOX_CONCURRENCY":   "-4",
		"OUTBOX_RELAYS":        "65",
		"OUTBOX_MARGIN":        "5s",
		"OUTBOX_LOG_LEVEL":     "loud",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"OUTBOX_DATABASE_URL: ", "OUTBOX_DATABASE_AUTH: ", "OUTBOX_POLL_IDLE: ", "(default 10ms)",
		"OUTBOX_CONCURRENCY: must be above 0, is -4", "OUTBOX_RELAYS: must be 1 to 64, is 65", "OUTBOX_MARGIN: ", "OUTBOX_LOG_LEVEL: ",
		"OUTBOX_DESTINATIONS",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
	if n := strings.Count(err.Error(), "OUTBOX_DESTINATIONS"); n != 1 {
		t.Errorf("OUTBOX_DESTINATIONS is named %d times in:\n%v", n, err)
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the password is in:\n%v", err)
	}
}

func TestEmptyVariablesCountAsNotSet(t *testing.T) {
	t.Parallel()
	r, err := Parse[Relay](environ("OUTBOX_POLL_IDLE", "", "OUTBOX_DATABASE_SECRET_ARN", ""))
	if err != nil || r.PollIdle != relay.DefaultPollIdle {
		t.Errorf("pause %v, error %v", r.PollIdle, err)
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
		if got, ok := c.process.memoryLimit(fstest.MapFS{}); got != c.want || ok != (c.want != 0) {
			t.Errorf("%s: %d, %v; want %d", name, got, ok, c.want)
		}
	}
}
