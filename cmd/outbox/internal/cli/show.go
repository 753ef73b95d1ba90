package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

func (p *Program) show(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show <event-id>",
		Short: "Show where an event is",
		Long: `Shows where an event is: pending, with the relay that holds its shard; blocked,
with the dead event that its aggregate waits behind; sent, with the time and
the broker's MessageId and SequenceNumber; dead, with when and why; or archived.
The payload is not shown. When there is no such event the exit code is 3.

With --json the fields are: state (pending, blocked, sent, dead, archived or
not_found), event_id, id, destination, aggregate_type, aggregate_id, event_type,
shard, replays, created_at, and where they apply holder, blocked_by,
block_reason, released_at, sent_at, message_id, sequence_number, dead_at,
attempts, code, reason, replay_of (the row that this one copies), others (the other
rows of the event) and redrives (redriven_at, source, request_id, row_id, copy_id,
generation, destination, attempts, code, reason).`,
		Example: `  outbox show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001
  outbox show --json 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001 | jq -r .message_id`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one event id")
			}
			_, err := parseID(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				return p.runShow(ctx, db.Outbox, id, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return cmd
}

func (p *Program) runShow(ctx context.Context, o Outbox, id uuid.UUID, asJSON bool) error {
	location, err := o.Lookup(ctx, id)
	switch {
	case errors.Is(err, pgadmin.ErrNotFound):
		if asJSON {
			if writeErr := view.NotFoundJSON(p.Out, id); writeErr != nil {
				return writeErr //nolint:wrapcheck // says what it did
			}
			return &failure{code: exitNo}
		}
		return &failure{code: exitNo, err: fmt.Errorf("no event %s: its transaction may not have committed, it may be in another database, or the archive's retention is over", id)}
	case err != nil:
		return err //nolint:wrapcheck // the store names the operation
	case asJSON:
		return view.EventJSON(p.Out, &location) //nolint:wrapcheck // says what it did
	}
	return view.EventText(p.Out, p.style(), &location, p.Now()) //nolint:wrapcheck // says what it did
}

func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%q is not an event id: it is a UUID, such as 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001", text)
	}
	return id, nil
}
