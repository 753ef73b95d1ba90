package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
)

func (p *Program) redrive(g *globals) *cobra.Command {
	var f requestFlags
	var source string
	cmd := &cobra.Command{
		Use:  "redrive --source <dead_letters|blocked|dlq>",
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
	cmd.AddCommand(p.redriveList(g))
	return cmd
}

func (p *Program) replay(g *globals) *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:  "replay",
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

// Queues answers a request for a dead-letter queue of SQS, as the method Run of a [redrive.Engine] does: it
// starts nothing after until, and its error says why it could not begin. It records the run with the recorder, unless that
// is nil, under the request id.
type Queues func(ctx context.Context, r redrive.Request, until time.Time, recorder dlq.Recorder, requestID string) (redrive.Answer, error)

func (p *Program) redriveList(g *globals) *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:  "list",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd.Context(), p, g, limit, asJSON, view.DLQRedrivesText, func(ctx context.Context, l Lists) ([]pgadmin.DLQRedrive, error) {
				return l.DLQRedrives(ctx, limit+1)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "list this many at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}
