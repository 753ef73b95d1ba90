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
		Use:  "show <event-id>",
		Args: oneEventID,
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
		return view.JSON(p.Out, &location) //nolint:wrapcheck // says what it did
	}
	return view.EventText(p.Out, p.style(), &location, p.Now()) //nolint:wrapcheck // says what it did
}

// oneEventID returns an error when args is not one event id. It is the argument check of a command.
func oneEventID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one event id")
	}
	_, err := parseID(args[0])
	return err
}

// parseID parses an event id of the command line. Its error says what an event id looks like.
func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%q is not an event id: it is a UUID, such as 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001", text)
	}
	return id, nil
}
