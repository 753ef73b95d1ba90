package cli_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/cli"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// double is an outbox with the answers that a test gives it.
type double struct {
	status   pgadmin.Status
	location pgadmin.Location
	migrated pgstore.Migrated
	err      error
	check    error
	openErr  error
	closed   int
	url      string
	deadline time.Duration
}

func (d *double) Status(_ context.Context, limit int) (pgadmin.Status, error) {
	d.status.PendingLimit = limit
	return d.status, d.err
}

func (d *double) Lookup(context.Context, uuid.UUID) (pgadmin.Location, error) {
	return d.location, d.err
}

func (d *double) Check(context.Context) error { return d.check }

func (d *double) open(ctx context.Context, url string) (cli.Database, error) {
	d.url = url
	if at, ok := ctx.Deadline(); ok {
		d.deadline = time.Until(at).Round(time.Second)
	}
	if d.openErr != nil {
		return cli.Database{}, d.openErr
	}
	return cli.Database{
		Outbox:  d,
		Migrate: func(context.Context, ...pgstore.MigrateOption) (pgstore.Migrated, error) { return d.migrated, d.err },
		Close:   func() { d.closed++ },
	}, nil
}

func (d *double) run(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := cli.Program{
		Out: &stdout, Err: &stderr, Getenv: func(name string) string { return env[name] },
		Now: func() time.Time { return time.Unix(1e9, 0) }, Open: d.open,
	}
	code = p.Run(t.Context(), args)
	return code, stdout.String(), stderr.String()
}

const eventID = "0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001"

var local = map[string]string{"DATABASE_URL": "postgres://localhost/app"}

func TestDatabaseURLComesFromTheFlagThenTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"OUTBOX_DATABASE_URL": "postgres://two/x", "DATABASE_URL": "postgres://three/x"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{env, []string{"status", "--database-url", "postgres://one/x"}, "postgres://one/x"},
		{env, []string{"status"}, "postgres://two/x"},
		{map[string]string{"DATABASE_URL": "postgres://three/x"}, []string{"status"}, "postgres://three/x"},
	} {
		var d double
		if code, _, errs := d.run(t, c.env, c.args...); code != 0 || d.url != c.want {
			t.Errorf("code %d, url %q, want %q: %s", code, d.url, c.want, errs)
		}
		if d.closed != 1 {
			t.Errorf("the database was closed %d times", d.closed)
		}
	}
}

func TestTimeoutHasADefaultPerCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want time.Duration
	}{
		{[]string{"status"}, 30 * time.Second},
		{[]string{"show", eventID}, 30 * time.Second},
		{[]string{"migrate"}, 10 * time.Minute},
		{[]string{"migrate", "--timeout", "3m"}, 3 * time.Minute},
	} {
		var d double
		if _, _, errs := d.run(t, local, c.args...); d.deadline != c.want {
			t.Errorf("%v: limit %v, want %v: %s", c.args, d.deadline, c.want, errs)
		}
	}
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		says string
	}{
		{"unknown command", local, []string{"stat"}, "unknown command"},
		{"unknown flag", local, []string{"status", "--jsn"}, "unknown flag"},
		{"surplus argument", local, []string{"migrate", "now"}, "now"},
		{"no event id", local, []string{"show"}, "name one event id"},
		{"bad event id", local, []string{"show", "42"}, `"42" is not an event id`},
		{"no database", nil, []string{"status"}, "set --database-url or OUTBOX_DATABASE_URL"},
		{"unreadable url", map[string]string{"OUTBOX_DATABASE_URL": "postgres://u:hun%ter2@h:port/d"}, []string{"status"}, "OUTBOX_DATABASE_URL is not a PostgreSQL connection string"},
		{"unreadable keywords", map[string]string{"DATABASE_URL": "host=h password = hunter2 port=x"}, []string{"status"}, "DATABASE_URL is not a PostgreSQL connection string"},
		{"negative timeout", local, []string{"status", "--timeout", "-1s"}, "--timeout"},
		{"no limit", local, []string{"status", "--limit", "0"}, "--limit"},
		{"limit of a check that is none", local, []string{"status", "--max-dead-letters", "3"}, "add --check"},
		{"limit that cannot be seen", local, []string{"status", "--check", "--max-pending", "100000"}, "raise --limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var d double
			code, out, errs := d.run(t, c.env, c.args...)
			if code != 2 || out != "" || !strings.Contains(errs, c.says) || !strings.Contains(errs, "--help for usage") {
				t.Errorf("code %d, out %q, err %q, want 2 and %q", code, out, errs, c.says)
			}
			if strings.Contains(errs, "ter2") {
				t.Errorf("the password is in %q", errs)
			}
		})
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		d    double
		args []string
		says string
	}{
		{"denied at connect", double{openErr: pgstore.ErrDenied}, []string{"status"}, "denied access"},
		{"no schema", double{err: pgstore.ErrSchema}, []string{"status"}, "run: outbox migrate"},
		{"no schema to show", double{err: pgstore.ErrSchema}, []string{"show", eventID}, "run: outbox migrate"},
		{"time-out", double{err: context.DeadlineExceeded}, []string{"status"}, "raise --timeout (30s)"},
		{"interrupt", double{err: context.Canceled}, []string{"status"}, "interrupted"},
		{"check cannot be read", double{check: pgstore.ErrUnreachable}, []string{"status"}, "cannot be reached"},
		{"schema too new to migrate", double{err: pgstore.ErrSchemaNewer}, []string{"migrate"}, "upgrade the outbox command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := c.d.run(t, local, c.args...)
			if code != 1 || !strings.Contains(errs, c.says) || strings.Contains(errs, "for usage") {
				t.Errorf("code %d, err %q, want 1 and %q", code, errs, c.says)
			}
		})
	}
}

func TestMigrateSaysWhatItApplied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    double
		code int
		want string
	}{
		{double{migrated: pgstore.Migrated{Versions: []int64{1, 2}, Functions: []string{"a"}}}, 0, "applied migration 1\napplied migration 2\nthe schema is at version 1\n"},
		{double{migrated: pgstore.Migrated{Functions: []string{"a"}, Dropped: []string{"b"}}}, 0, "made the function outbox.a\ndropped the function outbox.b\nthe schema is at version 1\n"},
		{double{}, 0, "nothing to do: the schema is at version 1\n"},
		{double{migrated: pgstore.Migrated{Versions: []int64{1}}, err: errors.New("second failed")}, 1, "applied migration 1\n"},
	} {
		if code, out, _ := c.d.run(t, local, "migrate"); code != c.code || out != c.want {
			t.Errorf("code %d, out %q, want %d, %q", code, out, c.code, c.want)
		}
	}
}

func TestStatusWarnsOfUnsafeSettingsAndStillShows(t *testing.T) {
	t.Parallel()
	d := double{check: pgstore.ErrSettings}
	if code, out, _ := d.run(t, local, "status"); code != 0 || !strings.Contains(out, "warning: "+pgstore.ErrSettings.Error()) {
		t.Errorf("code %d, out %q", code, out)
	}
	d.check = pgstore.ErrReadOnly
	if code, out, _ := d.run(t, local, "status"); code != 0 || strings.Contains(out, "read-only") {
		t.Errorf("on a replica: code %d, out %q", code, out)
	}
}

func TestCheckExitsWithThree(t *testing.T) {
	t.Parallel()
	d := double{status: pgadmin.Status{DeadLetters: 1}}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"status"}, 0},
		{[]string{"status", "--check"}, 3},
		{[]string{"status", "--check", "--json"}, 3},
		{[]string{"status", "--check", "--max-dead-letters", "1"}, 0},
		{[]string{"status", "--check", "--max-dead-letters", "-1"}, 0},
	} {
		code, out, errs := d.run(t, local, c.args...)
		if code != c.code || errs != "" {
			t.Errorf("%v: code %d, want %d, err %q", c.args, code, c.code, errs)
		}
		if c.code == 3 && !strings.Contains(out, "more than 0") {
			t.Errorf("%v: the limit is not named in %q", c.args, out)
		}
	}
}

func TestShowOfNoEventExitsWithThree(t *testing.T) {
	t.Parallel()
	d := double{err: pgadmin.ErrNotFound}
	if code, out, errs := d.run(t, local, "show", eventID); code != 3 || out != "" || !strings.Contains(errs, eventID) {
		t.Errorf("code %d, out %q, err %q", code, out, errs)
	}
	code, out, errs := d.run(t, local, "show", "--json", eventID)
	want := "{\n  \"state\": \"not_found\",\n  \"event_id\": \"" + eventID + "\"\n}\n"
	if code != 3 || out != want || errs != "" {
		t.Errorf("code %d, out %q, err %q", code, out, errs)
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"migrate", "status", "show", "version", "dead", "dead list", "dead show", "blocked", "blocked list", "blocked release", "redrive", "replay",
		"janitor", "janitor run", "archive", "archive list", "archive export",
	} {
		var d double
		code, out, _ := d.run(t, nil, append(strings.Fields(name), "--help")...)
		if code != 0 || !strings.Contains(out, "Examples:\n  outbox "+name) {
			t.Errorf("%s --help: code %d, %q", name, code, out)
		}
	}
	var d double
	if code, out, _ := d.run(t, nil); code != 0 || !strings.Contains(out, "Exit codes:") {
		t.Errorf("outbox: code %d, %q", code, out)
	}
}
