package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// binary is built once for all tests of the package.
var binary struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.path != "" {
		_ = os.RemoveAll(filepath.Dir(binary.path))
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		dir, err := os.MkdirTemp("", "outbox-cli-") //nolint:usetesting // it outlives the test that is first
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "outbox")
		if out, err := exec.Command("go", "build", "-o", binary.path, ".").CombinedOutput(); err != nil {
			binary.err = errors.Join(err, errors.New(string(out)))
		}
	})
	if binary.err != nil {
		t.Fatalf("build: %v", binary.err)
	}
	return binary.path
}

// run runs the compiled command with the database URL in its environment.
func run(t *testing.T, databaseURL string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), build(t), args...)
	cmd.Env = []string{"OUTBOX_DATABASE_URL=" + databaseURL, "HOME=" + t.TempDir()}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func must(t *testing.T, databaseURL string, args ...string) string {
	t.Helper()
	code, out, errs := run(t, databaseURL, args...)
	if code != 0 || errs != "" {
		t.Fatalf("outbox %v: code %d\n%s%s", args, code, out, errs)
	}
	return out
}

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func TestMigrateAppliesOnce(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t, outboxtest.Unmigrated())
	if out := must(t, database, "migrate"); !strings.HasPrefix(out, "applied migration 1\n") {
		t.Errorf("first: %q", out)
	}
	if out := must(t, database, "migrate"); !strings.HasPrefix(out, "nothing to do") {
		t.Errorf("second: %q", out)
	}
	if out := must(t, database, "status"); !strings.Contains(out, "0 pending") {
		t.Errorf("status: %q", out)
	}
}

func TestMigratePrintsWhatItWouldApply(t *testing.T) {
	t.Parallel()
	sql := must(t, "", "migrate", "--print")
	database := outboxtest.URL(t, outboxtest.Unmigrated())
	if _, err := connect(t, database).PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("the printed SQL does not run: %v", err)
	}
	if out := must(t, database, "migrate"); !strings.HasPrefix(out, "nothing to do") {
		t.Errorf("migrate after it: %q", out)
	}
}

func TestMigrateRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	if _, err := connect(t, database).Exec(t.Context(), "insert into outbox.migrations (version_id, is_applied) values (1000000, true)"); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, database, "migrate"); code != 1 || !strings.Contains(errs, "upgrade the outbox command") {
		t.Errorf("migrate: code %d, %q", code, errs)
	}
	if out := must(t, database, "status"); !strings.Contains(out, "upgrade the outbox command") {
		t.Errorf("status: %q", out)
	}
}

func TestStatusNamesAFunctionThatIsOutOfDateAndMigrateMakesIt(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	if _, err := connect(t, database).Exec(t.Context(), "update outbox.functions set sha256 = 'of an older text' where name = 'settle'"); err != nil {
		t.Fatal(err)
	}
	if out := must(t, database, "status"); !strings.Contains(out, "run: outbox migrate") || !strings.Contains(out, "outbox.settle") {
		t.Errorf("status: %q", out)
	}
	if out := must(t, database, "migrate"); !strings.HasPrefix(out, "made the function outbox.settle\n") {
		t.Errorf("migrate: %q", out)
	}
	if out := must(t, database, "status"); strings.Contains(out, "run: outbox migrate") {
		t.Errorf("status after it: %q", out)
	}
}

func TestStatusOfAnOlderSchemaSaysToMigrate(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	if _, err := connect(t, database).Exec(t.Context(), "delete from outbox.migrations where version_id > 0"); err != nil {
		t.Fatal(err)
	}
	if out := must(t, database, "status"); !strings.Contains(out, "run: outbox migrate") {
		t.Errorf("status: %q", out)
	}
}

func TestStatusAndShowFollowAnEvent(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	var ids []uuid.UUID
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var txErr error
		ids, txErr = outbox.Enqueue(t.Context(), tx,
			outbox.Event{AggregateType: "order", AggregateID: "1", Type: "order.placed", Payload: json.RawMessage(`{}`)},
			outbox.Event{AggregateType: "order", AggregateID: "2", Type: "order.placed", Payload: json.RawMessage(`{}`)},
			outbox.Event{AggregateType: "order", AggregateID: "2", Type: "order.paid", Payload: json.RawMessage(`{}`)},
			outbox.Event{AggregateType: "order", AggregateID: "3", Type: "order.placed", Payload: json.RawMessage(`{}`), Destination: "elsewhere"},
		)
		return txErr
	})
	if err != nil {
		t.Fatal(err)
	}
	if out := must(t, database, "status"); !strings.Contains(out, "4 pending") || !strings.Contains(out, "no relay is running and events wait") {
		t.Errorf("status without a relay:\n%s", out)
	}

	relayID := uuid.Must(uuid.NewV7())
	store := pgstore.New(pool)
	joined, err := store.Join(t.Context(), relay.Join{RelayID: relayID, Name: "request-7", TTL: relay.DefaultLeaseTTL, RunFor: relay.DefaultJoinWindow, Relays: 1})
	if err != nil || !joined {
		t.Fatalf("join: %v, %v", joined, err)
	}
	if _, err = store.Renew(t.Context(), relay.Renewal{RelayID: relayID, TTL: relay.DefaultJoinWindow, Relays: 1}); err != nil {
		t.Fatal(err)
	}
	rowOf := func(event uuid.UUID) int64 {
		var id int64
		if rowErr := pool.QueryRow(t.Context(), "select id from outbox.events where event_id = $1", event).Scan(&id); rowErr != nil {
			t.Fatal(rowErr)
		}
		return id
	}
	settled, err := store.Settle(t.Context(), relayID, relay.Settlement{
		Accepted:    []relay.Accepted{{ID: rowOf(ids[0]), EventID: ids[0], MessageID: "m-1", SequenceNumber: "18870001"}},
		DeadLetters: []relay.DeadLetter{{ID: rowOf(ids[1]), EventID: ids[1], Attempts: 1, Code: "InvalidMessageContents", Reason: "bad", Block: true}},
	})
	if err != nil || settled.Accepted != 1 || settled.DeadLetters != 1 {
		t.Fatalf("settle: %+v, %v", settled, err)
	}

	out := must(t, database, "status")
	for _, want := range []string{"2 pending", "1 dead letter,", "1 blocked aggregate", "elsewhere", "request-7", "0-63", "running"} {
		if !strings.Contains(out, want) {
			t.Errorf("status lacks %q:\n%s", want, out)
		}
	}
	var object struct {
		Pending      int
		Destinations []struct{ Destination string }
		Relays       []struct {
			Name   string
			Shards []int
		}
	}
	if err := json.Unmarshal([]byte(must(t, database, "status", "--json")), &object); err != nil {
		t.Fatal(err)
	}
	if object.Pending != 2 || len(object.Destinations) != 2 || len(object.Relays) != 1 || len(object.Relays[0].Shards) != outbox.Shards {
		t.Errorf("status --json = %+v", object)
	}
	if code, out, _ := run(t, database, "status", "--check"); code != 3 || !strings.Contains(out, "check failed: 1 dead letter") {
		t.Errorf("status --check: code %d\n%s", code, out)
	}
	must(t, database, "status", "--check", "--max-dead-letters", "1", "--max-blocked", "1")

	for i, want := range [][]string{
		{"sent: ", "m-1", "18870001"},
		{"dead: ", "InvalidMessageContents", "bad"},
		{"blocked: ", ids[1].String(), "request-7"},
		{"pending: ", "elsewhere", "owned by relay request-7"},
	} {
		out := must(t, database, "show", ids[i].String())
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("show of event %d lacks %q:\n%s", i, w, out)
			}
		}
		var l pgadmin.Location
		if err := json.Unmarshal([]byte(must(t, database, "show", "--json", ids[i].String())), &l); err != nil || l.EventID != ids[i] {
			t.Errorf("show --json of event %d: %+v, %v", i, l, err)
		}
	}
	if code, _, _ := run(t, database, "show", uuid.NewString()); code != 3 {
		t.Errorf("show of no event: code %d, want 3", code)
	}
}

// The whole of it: what a relay gave up is listed, shown, brought back, sent, and
// sent again.
func TestRedriveAndReplayFollowAnEvent(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	pool, err := pgstore.Connect(t.Context(), pgstore.Config{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	var ids []uuid.UUID
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var txErr error
		ids, txErr = outbox.Enqueue(t.Context(), tx,
			outbox.Event{AggregateType: "order", AggregateID: "1", Type: "order.placed", Payload: json.RawMessage(`{"secret":1}`)},
			outbox.Event{AggregateType: "order", AggregateID: "1", Type: "order.paid", Payload: json.RawMessage(`{}`)},
			outbox.Event{AggregateType: "order", AggregateID: "2", Type: "order.placed", Payload: json.RawMessage(`{}`)},
		)
		return txErr
	})
	if err != nil {
		t.Fatal(err)
	}
	store := pgstore.New(pool)
	relayID := uuid.Must(uuid.NewV7())
	if joined, joinErr := store.Join(t.Context(), relay.Join{RelayID: relayID, Name: "r", TTL: relay.DefaultJoinWindow, RunFor: relay.DefaultJoinWindow, Relays: 1}); joinErr != nil || !joined {
		t.Fatalf("join: %v, %v", joined, joinErr)
	}
	// The rows have the ids 1 to 3, in their order.
	settle := func(s relay.Settlement, want int) {
		t.Helper()
		if got, settleErr := store.Settle(t.Context(), relayID, s); settleErr != nil || got.DeadLetters+got.Accepted != want {
			t.Fatalf("settle: %+v, %v", got, settleErr)
		}
	}
	settle(relay.Settlement{DeadLetters: []relay.DeadLetter{
		{ID: 1, EventID: ids[0], Attempts: 2, Code: "InvalidMessageContents", Reason: "bad", Block: true},
		{ID: 3, EventID: ids[2], Attempts: 1, Code: "MessageTooLong", Reason: "long"},
	}}, 2)

	expect := func(code int, args []string, want ...string) {
		t.Helper()
		got, out, errs := run(t, database, args...)
		if got != code {
			t.Errorf("outbox %v: code %d, want %d: %s", args, got, code, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("outbox %v lacks %q:\n%s", args, w, out)
			}
		}
		if strings.Contains(out, "secret") != (args[0] == "dead" && args[1] == "show") {
			t.Errorf("outbox %v and the payload:\n%s", args, out)
		}
	}
	expect(0, []string{"dead", "list"}, ids[0].String(), ids[2].String(), "blocked", "MessageTooLong")
	expect(0, []string{"dead", "show", ids[0].String()}, `{"secret":1}`, "InvalidMessageContents")
	expect(0, []string{"blocked", "list"}, "order 1", ids[0].String(), "blocked")
	expect(0, []string{"blocked", "release", "--all", "--dry-run"}, "1 aggregate would be released")
	expect(0, []string{"redrive", "--source", "dead_letters", "--dry-run", "--confirm"}, "2 events would be brought back")
	expect(3, []string{"redrive", "--source", "dead_letters"}, "1 event brought back", "1 event left")
	expect(0, []string{"blocked", "list"}, "released")
	expect(0, []string{"redrive", "--source", "dead_letters", "--confirm", "--request-id", "ada"}, "1 event brought back", "1 event out of order")
	expect(0, []string{"dead", "list"}, "no dead letters")
	expect(0, []string{"show", ids[2].String()}, "generation 1", "request ada", "buried with MessageTooLong")

	settle(relay.Settlement{Accepted: []relay.Accepted{
		{ID: 1, EventID: ids[0], MessageID: "m1"}, {ID: 2, EventID: ids[1], MessageID: "m2"}, {ID: 3, EventID: ids[2], MessageID: "m3"},
	}}, 3)
	expect(0, []string{"replay", "--aggregate-type", "order", "--dry-run"}, "3 events would be brought back")
	expect(3, []string{"replay", "--token", ids[0].String()})
	token := uuid.NewString()
	for _, want := range []string{"2 events to be sent again", "0 events to be sent again"} {
		expect(0, []string{"replay", "--aggregate-type", "order", "--aggregate-id", "1", "--token", token}, want)
	}
	expect(0, []string{"show", ids[0].String()}, "replay of", "row 1 sent", "copied to row", "generation 2")
	var l pgadmin.Location
	if err := json.Unmarshal([]byte(must(t, database, "show", "--json", ids[0].String())), &l); err != nil {
		t.Fatal(err)
	}
	if l.State != pgadmin.Blocked || l.ReplayOf != 1 || len(l.Others) != 1 || l.Others[0].MessageID != "m1" || len(l.Redrives) != 2 {
		t.Errorf("show --json = %+v", l)
	}
}

func TestUnmigratedDatabaseSaysToMigrate(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t, outboxtest.Unmigrated())
	for _, args := range [][]string{{"status"}, {"show", uuid.NewString()}} {
		if code, _, errs := run(t, database, args...); code != 1 || !strings.Contains(errs, "run: outbox migrate") {
			t.Errorf("outbox %v: code %d, %q", args, code, errs)
		}
	}
}

func TestWrongPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	// A role of its own, because the server may trust whom the tests log in as.
	u.User = url.UserPassword(u.User.Username(), "wrong-hunter2")
	conn, err := pgx.Connect(t.Context(), u.String())
	if err == nil {
		_ = conn.Close(t.Context())
		u.User = url.UserPassword("outbox_no_such_role", "wrong-hunter2")
	} else if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "28P01" {
		t.Fatalf("a wrong password leads to %v", err)
	}
	for _, args := range [][]string{{"status"}, {"migrate"}, {"show", uuid.NewString()}} {
		code, out, errs := run(t, u.String(), args...)
		if code != 1 || !strings.Contains(errs, "check user and password") {
			t.Errorf("outbox %v: code %d, %q", args, code, errs)
		}
		if strings.Contains(out+errs, "hunter2") {
			t.Errorf("outbox %v prints the password: %q", args, out+errs)
		}
	}
}

func TestUnreachableDatabaseSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err = listener.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "postgres://u:hunter2@"+address+"/app", "status"); code != 1 ||
		!strings.Contains(errs, "cannot be reached") || strings.Contains(errs, "hunter2") {
		t.Errorf("refused: code %d, %q", code, errs)
	}

	// It accepts and never answers.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	if code, _, errs := run(t, "postgres://u:hunter2@"+silent.Addr().String()+"/app", "status", "--timeout", "300ms"); code != 1 ||
		!strings.Contains(errs, "raise --timeout (300ms)") || strings.Contains(errs, "hunter2") {
		t.Errorf("silent: code %d, %q", code, errs)
	}
}

func TestExitCodesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{"show", "not-a-uuid"}, 2},
		{[]string{"nonsense"}, 2},
		{[]string{"status"}, 2}, // no database is named
	} {
		if code, _, errs := run(t, "", c.args...); code != c.want {
			t.Errorf("outbox %v: code %d, want %d: %s", c.args, code, c.want, errs)
		}
	}
}
