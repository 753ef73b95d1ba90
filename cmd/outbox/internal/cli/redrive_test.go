package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/cli"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// operator is an outbox whose answers a test gives, and that remembers what it
// was asked for.
type operator struct {
	dead    []pgadmin.DeadLetter
	lanes   []pgadmin.BlockedLane
	rows    [][]rows.Row
	steps   []replay.Step
	queue   redrive.Answer
	err     error
	request redrive.Request
	id      string
	token   uuid.UUID
	calls   []string

	redrives []pgadmin.DLQRedrive
	recorder dlq.Recorder
	// closed is the error of opening the database.
	closed error
}

func (o *operator) DLQRedrives(_ context.Context, limit int) ([]pgadmin.DLQRedrive, error) {
	return o.redrives[:min(limit, len(o.redrives))], o.err
}

func (o *operator) BeginDLQRedrive(context.Context, dlq.Begun) (int64, error) { return 1, nil }

func (o *operator) EndDLQRedrive(context.Context, int64, *redrive.Answer) error { return nil }

func (o *operator) DeadLetters(_ context.Context, r *redrive.Request, _ int64, limit int, _ bool) ([]pgadmin.DeadLetter, error) {
	o.request = *r
	return o.dead[:min(limit, len(o.dead))], o.err
}

func (o *operator) BlockedLanes(_ context.Context, r *redrive.Request, limit, _ int) ([]pgadmin.BlockedLane, error) {
	o.request = *r
	return o.lanes[:min(limit, len(o.lanes))], o.err
}

func (o *operator) RedriveDeadLetters(_ context.Context, b rows.Batch) ([]rows.Row, error) {
	return o.next("dead letters", b)
}

func (o *operator) ReleaseBlocked(_ context.Context, b rows.Batch) ([]rows.Row, error) {
	return o.next("blocked", b)
}

func (o *operator) next(call string, b rows.Batch) ([]rows.Row, error) {
	o.calls = append(o.calls, call)
	o.request, o.id = *b.Request, b.RequestID
	if len(o.rows) == 0 {
		return nil, o.err
	}
	got := o.rows[0]
	o.rows = o.rows[1:]
	return got, nil
}

func (o *operator) CountReplay(_ context.Context, r *redrive.Request, _ int64, _ int) (int, int64, error) {
	o.request = *r
	return 7, 0, o.err
}

func (o *operator) StartReplay(_ context.Context, id uuid.UUID, requestID string, r *redrive.Request) error {
	o.request, o.token, o.id = *r, id, requestID
	return o.err
}

func (o *operator) FindReplay(_ context.Context, id uuid.UUID, _ int) (replay.Progress, error) {
	if id != o.token {
		return replay.Progress{}, replay.ErrNotFound
	}
	return replay.Progress{Searched: true, Found: 5}, nil
}

func (o *operator) CopyReplay(context.Context, uuid.UUID, int) (replay.Step, error) {
	if len(o.steps) == 0 {
		return replay.Step{Outcome: replay.Ended}, nil
	}
	got := o.steps[0]
	o.steps = o.steps[1:]
	return got, nil
}

func (o *operator) run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	return o.runWith(t, map[string]string{"DATABASE_URL": "postgres://localhost/app", "USER": "ada"}, args...)
}

func (o *operator) runWith(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := cli.Program{
		Out: &stdout, Err: &stderr, Getenv: func(name string) string { return env[name] },
		Now: func() time.Time { return time.Unix(1e9, 0) },
		Open: func(context.Context, string) (cli.Database, error) {
			if o.closed != nil {
				return cli.Database{}, o.closed
			}
			return cli.Database{Lists: o, Redrive: o, Replay: o, Records: o, Close: func() {}}, nil
		},
		Queue: func(_ context.Context, r redrive.Request, _ time.Time, recorder dlq.Recorder, requestID string) (redrive.Answer, error) {
			o.request, o.recorder, o.id = r, recorder, requestID
			if r.Queue == "" {
				return redrive.Answer{}, &redrive.FieldError{Field: "queue", Problem: "is missing: name the dead-letter queue"}
			}
			return o.queue, o.err
		},
	}
	code = p.Run(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

func TestFlagsOfARedriveMakeTheRequest(t *testing.T) {
	t.Parallel()
	var o operator
	code, _, errs := o.run(t, "redrive", "--source", "dead_letters", "--event-id", eventID, "--destination", "d",
		"--aggregate-type", "t", "--aggregate-id", "i", "--event-type", "e", "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z",
		"--id-from", "3", "--id-to", "9", "--limit", "5", "--rate", "100", "--dry-run", "--confirm", "--redirect", "x", "--token", "2")
	if code != 0 || errs != "" {
		t.Fatalf("code %d, err %q", code, errs)
	}
	got, err := json.Marshal(o.request)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"action":"redrive","source":"dead_letters","redirect":"x","event_ids":["` + eventID + `"],` +
		`"destination":"d","aggregate_type":"t","aggregate_id":"i","event_type":"e","from":"2026-11-01T00:00:00Z","to":"2026-11-02T00:00:00Z",` +
		`"id_from":3,"id_to":9,"limit":5,"rate":100,"dry_run":true,"confirm":true,"token":"2"}`
	if string(got) != want {
		t.Errorf("request = %s\nwant %s", got, want)
	}
	if o.id != "outbox-cli ada" {
		t.Errorf("asked for by %q", o.id)
	}
}

func TestFlagsOfAQueueMakeTheRequest(t *testing.T) {
	t.Parallel()
	var o operator
	if code, _, errs := o.run(t, "redrive", "--source", "dlq", "--queue", "q-dlq", "--send-to", "q", "--event-type", "e"); code != 0 {
		t.Fatalf("code %d, err %q", code, errs)
	}
	if r := o.request; r.Queue != "q-dlq" || r.SendTo != "q" || r.Destination != "" || r.EventType != "e" {
		t.Errorf("request = %+v", r)
	}
}

func TestWrongRedrivesAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"redrive"}, "--source: is missing"},
		{[]string{"redrive", "--source", "queue"}, "--source:"},
		{[]string{"redrive", "--source", "dead_letters", "--event-id", "42"}, `--event-id: "42" is not an event id`},
		{[]string{"redrive", "--source", "dead_letters", "--from", "yesterday"}, `--from: "yesterday" is not a time`},
		{[]string{"redrive", "--source", "dead_letters", "--aggregate-id", "1", "--limit", "-1"}, "--limit:"},
		{[]string{"redrive", "--source", "dead_letters", "--aggregate-id", "1", "--limit", "-1"}, "--aggregate-type: is missing"},
		{[]string{"redrive", "--source", "dead_letters", "--token", "x"}, "--token:"},
		{[]string{"redrive", "--source", "dlq"}, "--queue: is missing"},
		{[]string{"redrive", "--source", "dlq", "--queue", "q", "--destination", "d"}, "use --send-to"},
		{[]string{"redrive", "--source", "blocked", "--send-to", "q"}, "use --destination to pick"},
		{[]string{"replay", "--event-type", "e", "--send-to", "q"}, "unknown flag: --send-to"},
		{[]string{"blocked", "release"}, "--all: is needed"},
		{[]string{"replay"}, "needs a filter"},
		{[]string{"replay", "--token", "x"}, "--token:"},
		{[]string{"replay", "--event-type", "e", "--aggregate-limit", "0"}, "--aggregate-limit:"},
		{[]string{"dead", "list", "--limit", "0"}, "--limit:"},
		{[]string{"dead", "show"}, "name one event id"},
		{[]string{"dead", "show", "42"}, "not an event id"},
		{[]string{"blocked", "list", "--limit", "0"}, "--limit:"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			var o operator
			code, out, errs := o.run(t, c.args...)
			if code != 2 || out != "" || !strings.Contains(errs, c.says) {
				t.Errorf("code %d, out %q, err %q, want 2 and %q", code, out, errs, c.says)
			}
			if len(o.calls) > 0 {
				t.Errorf("it was asked for: %v", o.calls)
			}
		})
	}
}

func TestExitCodeOfARedriveSaysWhetherAllWasDone(t *testing.T) {
	t.Parallel()
	row := func(outcome rows.Outcome) rows.Row {
		return rows.Row{ID: 1, EventID: uuid.MustParse(eventID), Outcome: outcome, Ordered: true}
	}
	for what, c := range map[string]struct {
		o    operator
		args []string
		code int
		says string
	}{
		"all":         {operator{rows: [][]rows.Row{{row(rows.Redriven)}}}, []string{"redrive", "--source", "dead_letters"}, 0, "1 event brought back"},
		"none":        {operator{}, []string{"redrive", "--source", "dead_letters"}, 0, "0 events brought back"},
		"unconfirmed": {operator{rows: [][]rows.Row{{row(rows.Unconfirmed)}}}, []string{"redrive", "--source", "dead_letters"}, 3, "1 event left"},
		"failed":      {operator{rows: [][]rows.Row{{row(rows.Archiving)}}}, []string{"redrive", "--source", "dead_letters"}, 3, "Archiving"},
		"limit":       {operator{rows: [][]rows.Row{{row(rows.Redriven)}}}, []string{"redrive", "--source", "dead_letters", "--limit", "1"}, 3, "there is more (limit): run it again with --token 1"},
		"error":       {operator{err: errors.New("no such luck")}, []string{"redrive", "--source", "dead_letters"}, 1, "0 events brought back"},
		"released":    {operator{rows: [][]rows.Row{{row(rows.Redriven)}}}, []string{"blocked", "release", "--all"}, 0, "1 aggregate released"},
		"queue":       {operator{queue: redrive.Answer{Redriven: 3, Queue: "dlq", SendTo: "orders"}}, []string{"redrive", "--source", "dlq", "--queue", "dlq"}, 0, "from dlq to orders"},
		"no queue":    {operator{err: errors.New("several queues: name one as `send_to`")}, []string{"redrive", "--source", "dlq", "--queue", "dlq"}, 1, ""},
		"replay":      {operator{steps: []replay.Step{{Outcome: replay.Copied, Count: 5}}}, []string{"replay", "--event-type", "e"}, 0, "5 events to be sent again"},
		"large": {
			operator{steps: []replay.Step{{Outcome: replay.Large, Count: 5000, AggregateType: "order", AggregateID: "1"}}},
			[]string{"replay", "--event-type", "e"},
			3, "AggregateTooLarge: 5,000: the replay has 5000 events of the aggregate order 1",
		},
		"dry replay":     {operator{}, []string{"replay", "--event-type", "e", "--dry-run"}, 0, "7 events would be brought back (dry run)"},
		"unknown replay": {operator{}, []string{"replay", "--token", eventID}, 3, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			code, out, errs := c.o.run(t, c.args...)
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("code %d, want %d; out %q, want %q; err %q", code, c.code, out, c.says, errs)
			}
			if what == "error" && !strings.Contains(errs, "no such luck") {
				t.Errorf("err %q", errs)
			}
			if what == "no queue" && !strings.Contains(errs, "name one as --send-to") {
				t.Errorf("err %q", errs)
			}
			if what == "replay" && !strings.Contains(errs, "replay "+c.o.token.String()+": if it is interrupted") {
				t.Errorf("the token is not shown: %q", errs)
			}
		})
	}
}

func TestListsSayThatThereIsMore(t *testing.T) {
	t.Parallel()
	o := operator{
		dead:  []pgadmin.DeadLetter{{ID: 4, EventID: uuid.MustParse(eventID)}, {ID: 9}},
		lanes: []pgadmin.BlockedLane{{FirstID: 4, AggregateID: "a1"}, {FirstID: 5, AggregateID: "a2"}},
	}
	if code, out, errs := o.run(t, "dead", "list", "--limit", "1"); code != 0 || !strings.Contains(out, eventID) || !strings.Contains(out, "there are more: add --id-from 5") {
		t.Errorf("dead list: code %d, %q, %q", code, out, errs)
	}
	if code, out, errs := o.run(t, "blocked", "list", "--limit", "1"); code != 0 || !strings.Contains(out, "a1") || strings.Contains(out, "a2") || !strings.Contains(out, "there are more") {
		t.Errorf("blocked list: code %d, %q, %q", code, out, errs)
	}
	o.redrives = []pgadmin.DLQRedrive{{ID: 2, RequestID: "latest"}, {ID: 1, RequestID: "first"}}
	if code, out, errs := o.run(t, "redrive", "list", "--limit", "1"); code != 0 || !strings.Contains(out, "latest") || strings.Contains(out, "first") || !strings.Contains(out, "there are more") {
		t.Errorf("redrive list: code %d, %q, %q", code, out, errs)
	}
	o = operator{}
	if code, out, _ := o.run(t, "dead", "list", "--json"); code != 0 || out != "[]\n" {
		t.Errorf("dead list --json: code %d, %q", code, out)
	}
	if code, _, errs := o.run(t, "dead", "show", eventID); code != 3 || !strings.Contains(errs, "outbox show") {
		t.Errorf("dead show of nothing: code %d, %q", code, errs)
	}
}

func TestARunOverAQueueIsRecordedWhereADatabaseIsNamed(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for what, c := range map[string]struct {
		env      map[string]string
		closed   error
		flags    []string
		code     int
		recorded bool
	}{
		"named":                {map[string]string{"DATABASE_URL": "postgres://localhost/app"}, nil, nil, 0, true},
		"named by flag":        {nil, nil, []string{"--database-url", "postgres://localhost/app"}, 0, true},
		"named and down":       {map[string]string{"OUTBOX_DATABASE_URL": "postgres://localhost/app"}, down, nil, 1, false},
		"named by no URL":      {map[string]string{"OUTBOX_DATABASE_URL": "postgres://%"}, nil, nil, 2, false},
		"not named":            {nil, down, nil, 0, false},
		"dry run, though down": {map[string]string{"DATABASE_URL": "postgres://localhost/app"}, down, []string{"--dry-run"}, 0, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			o := operator{closed: c.closed}
			code, _, errs := o.runWith(t, c.env, append([]string{"redrive", "--source", "dlq", "--queue", "dlq", "--request-id", "ticket-7"}, c.flags...)...)
			if code != c.code || (o.recorder != nil) != c.recorded {
				t.Errorf("code %d, recorder %v, err %q", code, o.recorder, errs)
			}
			if ran := o.request.Queue != ""; ran != (code == 0) || ran && o.id != "ticket-7" {
				t.Errorf("ran %v under the request id %q", ran, o.id)
			}
		})
	}
}
