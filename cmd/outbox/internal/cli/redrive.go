package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
)

func (p *Program) redrive(g *globals) *cobra.Command {
	var f requestFlags
	var source string
	cmd := &cobra.Command{
		Use:   "redrive --source <dead_letters|blocked|dlq>",
		Short: "Bring back dead events: from the outbox or from a dead-letter queue",
		Long: `Brings back what was put aside:

  dead_letters  events that the relay gave up, in outbox.dead_letters
  blocked       aggregates on hold: the dead event goes back first, then what waits
                behind it; with --confirm it stays dead, and they go on without it
  dlq           messages of a dead-letter queue of SQS, sent to the queue that failed

Each goes out under a new deduplication id. An event that its aggregate went on
without comes after later ones: that breaks order, and needs --confirm; without it
such events are left, and counted. Redriving a dead letter that an aggregate is on
hold for releases the aggregate.

dead_letters and blocked need a database login with the role outbox_redrive. dlq
needs no database, and the AWS credentials and region of the environment.

When not everything was brought back the exit code is 3, and --token with the token
of the answer goes on. With --json the answer is one JSON object: action, source,
redriven, released, matched (in a dry run), skipped, unconfirmed, out_of_order,
failed, failures (reason, text, count, examples), groups_stopped, unseen, more,
token, stopped, problem, notes and seconds.`,
		Example: `  outbox redrive --source dead_letters --dry-run
  outbox redrive --source dead_letters --aggregate-type order --aggregate-id 42
  outbox redrive --source dead_letters --event-id 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001 --confirm
  outbox redrive --source dlq --queue orders-dlq.fifo --rate 50`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if source == "" {
				return usagef("--source: is missing: use dead_letters, blocked or dlq")
			}
			f.request.Source = redrive.Source(source)
			r, err := f.build()
			if err != nil {
				return err
			}
			return p.bringBack(cmd.Context(), g, &f, r)
		},
	}
	f.filters(cmd)
	f.run(cmd)
	cmd.Flags().StringVar(&source, "source", "", "where the events are: dead_letters, blocked or dlq")
	cmd.Flags().BoolVar(&f.request.Confirm, "confirm", false, "allow what breaks the order of an aggregate")
	cmd.Flags().StringVar(&f.request.Redirect, "redirect", "", "with dead_letters: send to this destination instead (needs --confirm)")
	cmd.Flags().StringVar(&f.request.Queue, "queue", "", "with dlq: URL, ARN or name of the dead-letter queue")
	cmd.Flags().StringVar(&f.request.SendTo, "send-to", "", "with dlq: URL, ARN or name of the queue to send to (default the queue that failed)")
	return cmd
}

func (p *Program) replay(g *globals) *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Send events again that were sent already",
		Long: `Sends events again that were sent: of an aggregate, a type, a destination, a range
of ids or of time, or by their ids. At least one filter is needed.

It writes a copy of each event into the outbox: a new row with the same event id,
a new deduplication id, and the attribute outbox-replay with the sequence that the
event had. The rows that were sent stay as they are. The copies of an aggregate are
written together, while writers that lock the aggregate wait, so that newer events
come after them; --interleave writes them in small groups, in the order of the
ids over all aggregates.

A replay that is interrupted goes on with --token: it is shown at the beginning, and
nothing is copied twice. It needs a database login with the role outbox_redrive.

When not everything was copied the exit code is 3. With --json the answer is one
JSON object, as that of outbox redrive.`,
		Example: `  outbox replay --aggregate-type order --aggregate-id 42 --dry-run
  outbox replay --event-type order.placed --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --rate 200
  outbox replay --token 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.request.Action = redrive.ActionReplay
			r, err := f.build()
			if err != nil {
				return err
			}
			if f.aggregateLimit < 1 {
				return usagef("--aggregate-limit: must be above 0, is %d", f.aggregateLimit)
			}
			return p.bringBack(cmd.Context(), g, &f, r)
		},
	}
	f.filters(cmd)
	f.run(cmd)
	cmd.Flags().StringVar(&f.request.Redirect, "redirect", "", "send to this destination instead")
	cmd.Flags().BoolVar(&f.request.Interleave, "interleave", false, "let new events of an aggregate come between its copies")
	cmd.Flags().IntVar(&f.aggregateLimit, "aggregate-limit", replay.DefaultAggregateLimit, "the most events of one aggregate that its writers wait for")
	return cmd
}

// Queues redrives a dead-letter queue of SQS until the time is until.
type Queues func(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error)
