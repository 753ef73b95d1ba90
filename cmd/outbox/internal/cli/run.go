package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// runLimit is how long a redrive or a replay may take without --timeout.
const runLimit = 15 * time.Minute

// bringBack runs the engine for the request r and writes its answer. Engine and database together may take
// --timeout, or runLimit. Its errors are failures with an exit code, also for an answer in which something was
// not brought back.
func (p *Program) bringBack(ctx context.Context, g *globals, f *requestFlags, r redrive.Request) error {
	limit, err := g.limit(runLimit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	engines := redrive.Engines{
		DLQ: func(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error) {
			return p.redriveQueue(ctx, g, r, until, p.requestID(f))
		},
		Rows: p.onDatabase(g, func(db Database) (redrive.Engine, error) {
			return rows.New(db.Redrive, rows.Config{RequestID: p.requestID(f), Progress: p.redriving()})
		}),
		Replay: p.onDatabase(g, func(db Database) (redrive.Engine, error) {
			return replay.New(db.Replay, replay.Config{RequestID: p.requestID(f), AggregateLimit: f.aggregateLimit, Progress: p.replaying()})
		}),
	}
	// The time between until and the end of ctx is for calls that are under way.
	until := time.Now().Add(limit - min(5*time.Second, limit/5))
	a, err := engines.Run(ctx, r, until)
	if err != nil {
		return err //nolint:wrapcheck // a failure with its exit code
	}
	return p.answer(&a, f.asJSON)
}

// redriveQueue runs the engine for dead-letter queues. Where a database is named, the run is recorded there under
// requestID. Its errors are failures with an exit code.
func (p *Program) redriveQueue(ctx context.Context, g *globals, r redrive.Request, until time.Time, requestID string) (redrive.Answer, error) {
	var a redrive.Answer
	run := func(ctx context.Context, recorder dlq.Recorder) (err error) {
		if a, err = p.Queue(ctx, r, until, recorder, requestID); err != nil {
			return refused(err, exitFailure)
		}
		return nil
	}
	var err error
	if r.DryRun || !p.namesDatabase(g) {
		err = run(ctx, nil)
	} else {
		err = p.with(ctx, g, runLimit, func(ctx context.Context, db Database) error { return run(ctx, db.Records) })
	}
	return a, err
}

// onDatabase returns a function that answers a request: it opens the database, calls open to make an engine on
// the database, runs that engine and closes the database. Its errors are failures with an exit code.
func (p *Program) onDatabase(g *globals, open func(db Database) (redrive.Engine, error)) func(context.Context, redrive.Request, time.Time) (redrive.Answer, error) {
	return func(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error) {
		var a redrive.Answer
		err := p.with(ctx, g, runLimit, func(ctx context.Context, db Database) error {
			e, openErr := open(db)
			if openErr != nil {
				return openErr
			}
			var runErr error
			a, runErr = e.Run(ctx, r, until)
			switch {
			case errors.Is(runErr, replay.ErrNotFound):
				return &failure{code: exitNo, err: fmt.Errorf("no replay %s: name the filters to begin one", r.Token)}
			case runErr != nil:
				return refused(runErr, exitUsage)
			}
			return nil
		})
		return a, err
	}
}

// refused makes a failure of the error with which an engine refused a request. Its exit code is that of wrong usage
// when a field of the request is at fault, else code. Its text has the names of flags in the place of fields.
func refused(err error, code int) error {
	if text := asFlags(err); text != "" {
		return usagef("%s", text)
	}
	return &failure{code: code, err: errors.New(quotedField.ReplaceAllStringFunc(err.Error(), flagOf))}
}

// requestID returns what is stored as the request id in the history of events: --request-id, or else "outbox-cli"
// with the value of $USER behind it.
func (p *Program) requestID(f *requestFlags) string {
	if f.requestID != "" {
		return f.requestID
	}
	return strings.TrimSpace("outbox-cli " + p.Getenv("USER"))
}

// answer writes the answer of a run to p.Out. It returns a failure with exit code 1 when an error ended the run,
// and one with exit code 3 and no text when the run left something: more to do, failed or unconfirmed events.
func (p *Program) answer(a *redrive.Answer, asJSON bool) error {
	var err error
	if asJSON {
		err = view.JSON(p.Out, a)
	} else {
		err = view.AnswerText(p.Out, p.style(), a)
	}
	switch {
	case err != nil:
		return err //nolint:wrapcheck // says what it did
	case a.Problem != "":
		return &failure{code: exitFailure, err: errors.New(a.Problem)}
	case a.More || a.Failed > 0 || a.Unconfirmed > 0:
		return &failure{code: exitNo}
	}
	return nil
}

// redriving returns a function that writes the progress of a redrive to standard error, at most every two
// seconds, and not in the first two.
func (p *Program) redriving() func(redrive.Answer) {
	write := p.progress()
	return func(a redrive.Answer) {
		write(fmt.Sprintf("%s brought back, token %s", view.Count(int64(a.Redriven+a.Matched)), a.Token))
	}
}

// replaying returns a function that writes the progress of a replay to standard error. The first call with a token
// writes it, because a replay that is interrupted goes on with it; other lines come at most every two seconds.
func (p *Program) replaying() func(redrive.Answer, replay.Progress) {
	write := p.progress()
	named := false
	return func(a redrive.Answer, at replay.Progress) {
		if !named && a.Token != "" {
			named = true
			_, _ = fmt.Fprintf(p.Err, "replay %s: if it is interrupted, go on with --token\n", a.Token)
		}
		if !at.Searched {
			write(fmt.Sprintf("%s found up to row %s", view.Count(int64(at.Found)), view.Count(at.Through)))
			return
		}
		write(fmt.Sprintf("%s of %s copied", view.Count(int64(at.Copied)), view.Count(int64(at.Found))))
	}
}

// progress returns a function that writes the line it is given to standard error, but drops lines that come
// within two seconds of the line written before, or of the call of progress.
func (p *Program) progress() func(line string) {
	const every = 2 * time.Second
	next := p.Now().Add(every)
	return func(line string) {
		if now := p.Now(); !now.Before(next) {
			next = now.Add(every)
			_, _ = fmt.Fprintln(p.Err, line)
		}
	}
}
