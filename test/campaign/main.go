//go:build unix

// Command campaign runs one of the long tests by its name:
//
//	go run ./test/campaign -help
//	go run ./test/campaign chaos -runs 20 -faults kill,pg_cut
//	go run ./test/campaign failpoints -write docs/reliability.md
//
// Its exit code is 0 only when every run kept every promise.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/test/chaos"
	"github.com/serverless-outbox/serverless-outbox/test/failover"
	"github.com/serverless-outbox/serverless-outbox/test/failpoints"
	"github.com/serverless-outbox/serverless-outbox/test/isolation"
	"github.com/serverless-outbox/serverless-outbox/test/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	all := []campaign.Campaign{chaos.Campaign(), failover.Campaign(), failpoints.Campaign(), isolation.Campaign(), mutants.Campaign()}
	code := campaign.Main(ctx, all, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
