// Command deploy brings template.yaml up by the real `sam build` and `sam deploy`,
// on an emulator that runs Lambda functions and enforces IAM, with a real
// PostgreSQL, and checks that the stack does what it is for:
//
//   - the schedule starts the relay, which drains into the stack's topic and queues;
//   - what a poisoned consumer leaves in the dead-letter queue comes back by a redrive;
//   - the janitor archives what was sent;
//   - a second deployment changes nothing, an update changes what it says, and
//     a removal leaves what is retained on purpose and nothing else.
//
// It exits with code 1 on any miss. The emulator is ministack, not AWS.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	keep := flag.Bool("keep", false, "keep the folder with logs and build")
	limit := flag.Duration("limit", 15*time.Minute, "give up after this `time`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	limited, cancel := context.WithTimeout(ctx, *limit)
	err := run(limited, *keep)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy: FAILED:", err)
		os.Exit(1)
	}
}
