//go:build unix

package failover

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

func TestRelayKeepsItsPromisesThroughPromotionsOfAStandby(t *testing.T) {
	t.Parallel()
	var c config
	f := campaign.NewFlags("failover", io.Discard)
	c.declare(f)
	if err := f.Parse([]string{"-runs", "1", "-promotions", "2", "-logs", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	results, err := c.run(t.Context(), &out)
	if errors.Is(err, pgserver.ErrNoBaseBackup) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := summarise(results)
	if r := s.report(); !r.OK {
		t.Errorf("not OK\n%s%s", out.String(), r.Text)
	}
	if s.without.promotions != 1 || s.many.promotions != 1 {
		t.Errorf("%d promotions without loss and %d with loss, want one of each", s.without.promotions, s.many.promotions)
	}
}
