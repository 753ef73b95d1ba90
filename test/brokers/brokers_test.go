// Package brokers_test holds the fake of SNS and SQS, and LocalStack, to two
// suites. The first is what a broker itself must do: each rule is a subtest with
// a name of its own, such as "sqs.dedup-holds-after-delete", and speaks to the
// server only through aws-sdk-go-v2. The second is what becomes of the events of
// a relay on PostgreSQL when a queue shows a fault that both servers can show.
//
// The rules come from the SNS and SQS developer guides and API references, and
// from answers of AWS itself that LocalStack's public snapshot tests recorded.
// Where neither says anything, no rule is made up.
package brokers_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func TestTheFakeFollowsEveryRule(t *testing.T) {
	t.Parallel()
	s := awsfake.New(awsfake.Config{})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	runChecks(t, target{endpoint: s.URL(), region: s.Region(), advance: s.Advance})
}

// TestLocalStack needs a LocalStack 4.14.0 of its own: `make test` starts one
// in host mode and sets the variable.
func TestLocalStack(t *testing.T) {
	t.Parallel()
	url := os.Getenv("OUTBOX_TEST_LOCALSTACK_URL")
	if url == "" {
		t.Skip("NOT RUN: OUTBOX_TEST_LOCALSTACK_URL is not set; `make test` starts LocalStack and sets it")
	}
	runChecks(t, target{endpoint: url, region: "us-east-1", knownGaps: readGaps(t, "testdata/localstack-4.14.0.gaps")})
}

// readGaps reads lines of a name, a comma and a reason.
func readGaps(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	gaps := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, ", ")
		if !ok || reason == "" {
			t.Fatalf("%s: %q is not a name, a comma and a reason", path, line)
		}
		gaps[name] = reason
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return gaps
}
