package pgadmin_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// sqlByHeading returns the SQL of a page, by the heading that it stands under.
func sqlByHeading(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	heading, in := "", false
	var block strings.Builder
	for line := range strings.Lines(string(text)) {
		switch trimmed := strings.TrimSpace(line); {
		case in && trimmed == "```":
			found[heading] = append(found[heading], block.String())
			in = false
		case in:
			block.WriteString(line)
		case trimmed == "```sql":
			in = true
			block.Reset()
		case strings.HasPrefix(line, "## "):
			heading = strings.TrimSpace(line[3:])
		}
	}
	return found
}

// The statements of docs/lifecycle.md show the events that are in the state, and
// no others.
func TestStatementsOfTheLifecycleShowTheirStates(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	relayID := join(t, store)
	pages := sqlByHeading(t, "../../docs/lifecycle.md")

	pending, sent, archived, dead, head, held, redriven, deleted := insert(t, pool, "pending"), insert(t, pool, "sent"), insert(t, pool, "archived"),
		insert(t, pool, "dead"), insert(t, pool, "held"), insert(t, pool, "held"), insert(t, pool, "redriven"), insert(t, pool, "deleted")
	ids := map[int64]uuid.UUID{}
	for _, id := range []int64{pending, sent, archived, dead, head, held, redriven, deleted} {
		ids[id] = eventIDOf(t, pool, "events", id)
	}
	settle(t, store, relayID, accept(sent, archived))
	archive(t, pool, archived)
	bury(t, store, relayID, false, deleted)
	deleteDeadLetters(t, store, 1)
	bury(t, store, relayID, false, dead)
	bury(t, store, relayID, true, head, redriven)
	redriveDead(t, store, redrive.Request{IDFrom: redriven})
	// A relay takes the released lane up.
	renew(t, store, relay.Renewal{RelayID: relayID, Unblock: renew(t, store, relay.Renewal{RelayID: relayID}).Released})
	replayed, _ := search(t, store, redrive.Request{EventIDs: []uuid.UUID{ids[archived]}}, 100)
	copyNext(t, store, replayed, 10)

	for heading, want := range map[string][]int64{
		"pending":   {pending, redriven, archived},
		"in flight": {pending, held, redriven, archived},
		"sent":      {sent},
		"archived":  {archived},
		"dead":      {dead, head},
		"deleted":   {deleted},
		"blocked":   {held},
		"redriven":  {redriven},
		"replayed":  {archived},
		"History":   {redriven, archived},
	} {
		if len(pages[heading]) == 0 {
			t.Errorf("there is no statement under %q", heading)
			continue
		}
		rows, err := pool.Query(t.Context(), strings.TrimSuffix(strings.TrimSpace(pages[heading][0]), ";"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			t.Fatalf("%s: %v", heading, err)
		}
		var got, expected []string
		for _, row := range found {
			id, ok := row["event_id"].([16]byte)
			if !ok {
				t.Fatalf("%s: row %v", heading, row)
			}
			got = append(got, uuid.UUID(id).String())
		}
		for _, id := range want {
			expected = append(expected, ids[id].String())
		}
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%s shows %v, want %v", heading, got, expected)
		}
	}
	if got := query[int](t, pool, "select left_to_copy + found * 10 + copied * 100 from ("+strings.TrimSuffix(strings.TrimSpace(pages["replayed"][1]), ";")+") as r"); got != 110 {
		t.Errorf("the replay is at %d", got)
	}
	exec(t, pool, strings.ReplaceAll(pages["Correcting a dead letter"][0], "0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001", ids[dead].String()))
	redriveDead(t, store, redrive.Request{EventIDs: []uuid.UUID{ids[dead]}, Confirm: true})
	if got := query[string](t, pool, "select payload::text from outbox.events where id = $1::bigint", dead); got != `{"total": 12}` {
		t.Errorf("the mended event has the payload %s", got)
	}
}
