package brokers_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// target is the server under test.
type target struct {
	// endpoint is its URL, and region the region its ARNs name.
	endpoint string
	region   string
	// advance moves the server's clock forward. Without it the suite waits for
	// short timeouts, and skips the checks that would take minutes.
	advance func(time.Duration)
	// knownGaps declares checks that the target fails, with the reason. Such a
	// check is skipped if it fails, and fails if it passes, so that the list
	// stays true.
	knownGaps map[string]string
}

// check is one rule.
type check struct {
	name string
	run  func(*c)
	// timed checks let time pass, long ones more of it than anybody waits for.
	timed, long bool
}

func checks() []check {
	return slices.Concat(
		orderChecks(), receiptChecks(), receiveChecks(), dedupChecks(), sendChecks(), batchChecks(), queueChecks(), deadLetterChecks(),
		publishChecks(), publishBatchChecks(), topicDedupChecks(), deliveryChecks(), subscriptionChecks(),
	)
}

// atOnce is how many checks run at the same time. Most of them wait, so this is
// more than the processors that go test would allow.
const atOnce = 16

// runChecks runs every check against the target, each in a subtest. Checks use
// queues and topics of their own and run at the same time, except that those
// which move the clock run one after the other, when nothing else does.
func runChecks(t *testing.T, target target) {
	t.Helper()
	for name := range target.knownGaps {
		if !slices.ContainsFunc(checks(), func(ck check) bool { return ck.name == name }) {
			t.Errorf("known gap %q is the name of no check", name)
		}
	}
	results := map[string]chan []string{}
	slots := make(chan struct{}, atOnce)
	var together sync.WaitGroup
	for _, ck := range checks() {
		if ck.long && target.advance == nil || ck.timed && target.advance != nil {
			continue
		}
		result := make(chan []string, 1)
		results[ck.name] = result
		together.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			result <- outcome(t.Context(), target, ck)
		})
	}
	for _, ck := range checks() {
		result, started := results[ck.name]
		switch {
		case started:
			t.Run(ck.name, func(t *testing.T) { report(t, target, ck, <-result) })
		case target.advance == nil:
			t.Run(ck.name, func(t *testing.T) { t.Skip("NOT CHECKED: needs a clock that can be moved") })
		}
	}
	together.Wait()
	for _, ck := range checks() {
		if ck.timed && target.advance != nil {
			t.Run(ck.name, func(t *testing.T) { report(t, target, ck, outcome(t.Context(), target, ck)) })
		}
	}
}

// report turns what was wrong into the result of a subtest.
func report(t *testing.T, target target, ck check, failures []string) {
	t.Helper()
	reason, gap := target.knownGaps[ck.name]
	switch {
	case gap && len(failures) > 0:
		t.Skipf("KNOWN GAP: %s\nseen: %s", reason, strings.Join(failures, "\n"))
	case gap:
		t.Errorf("no longer a gap: remove it from the list (%s)", reason)
	case len(failures) > 0:
		t.Error(strings.Join(failures, "\n"))
	}
}

// outcome runs a check in a goroutine that it may end early, and returns what
// was wrong.
func outcome(ctx context.Context, target target, ck check) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	creds := credentials.NewStaticCredentialsProvider("test", "test", "")
	cc := &c{
		ctx: ctx, target: target,
		sqs: sqs.New(sqs.Options{BaseEndpoint: &target.endpoint, Region: target.region, Credentials: creds, RetryMaxAttempts: 1}),
		sns: sns.New(sns.Options{BaseEndpoint: &target.endpoint, Region: target.region, Credentials: creds, RetryMaxAttempts: 1}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				cc.errorf("panic: %v", p)
			}
		}()
		ck.run(cc)
	}()
	<-done
	return cc.failures
}

// c is what a check works with.
type c struct {
	ctx    context.Context //nolint:containedctx // lives as long as one check
	target target
	sqs    *sqs.Client
	sns    *sns.Client

	mu       sync.Mutex
	failures []string
}

func (c *c) errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, fmt.Sprintf(format, args...))
}

// fatalf ends the check. It must be called from the check's goroutine.
func (c *c) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	runtime.Goexit()
}

func (c *c) must(err error) {
	if err != nil {
		c.fatalf("%v", err)
	}
}

// pass lets time go by.
func (c *c) pass(d time.Duration) {
	if c.target.advance != nil {
		c.target.advance(d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
		c.fatalf("%v", c.ctx.Err())
	}
}

func str(s string) *string { return aws.String(s) }
