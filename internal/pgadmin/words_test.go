package pgadmin_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// The words that functions of the schema answer are the outcomes of Go, no more and
// no fewer.
func TestFunctionsAnswerTheWordsOfGo(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	word := regexp.MustCompile(`(?:\breturn|outcome :=|\bthen|\belse) '(\w+)'`)
	for functions, want := range map[string][]string{
		"seal_partition validate_partition archive_partition unseal_partition move_sent drop_vacant drop_archived delete_archived": texts(
			janitor.Done, janitor.Busy, janitor.Locked, janitor.Gone, janitor.Open, janitor.Unsent, janitor.Young, janitor.Moved,
			janitor.Full, janitor.Unsealed, janitor.Changed),
		"put_back redrive_dead_letters release_blocked": texts(
			rows.Redriven, rows.Released, rows.Unconfirmed, rows.Behind, rows.Archiving, rows.Refused, rows.Gone),
		// Of the last two, CopyReplay makes errors.
		"copy_replay": append(texts(replay.Copied, replay.Gone, replay.Large, replay.Ended), "missing", "search"),
	} {
		var got []string
		for name := range strings.FieldsSeq(functions) {
			body := query[string](t, pool, "select prosrc from pg_proc where pronamespace = 'outbox'::regnamespace and proname = $1::text", name)
			for _, match := range word.FindAllStringSubmatch(body, -1) {
				got = append(got, match[1])
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s answer %v, Go knows %v", functions, got, want)
		}
	}
}

func texts[T ~string](words ...T) []string {
	all := make([]string, 0, len(words))
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

func TestRecordsOfRedrivesHaveTheSourcesOfGo(t *testing.T) {
	t.Parallel()
	const definition = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'source_is_dead_letters_blocked_or_replay'"
	got := regexp.MustCompile(`'(\w+)'`).FindAllString(query[string](t, outboxtest.DB(t), definition), -1)
	want := texts("'"+redrive.SourceDeadLetters+"'", "'"+redrive.SourceBlocked+"'")
	want = append(want, "'"+string(redrive.ActionReplay)+"'")
	if !slices.Equal(got, want) {
		t.Errorf("the table takes %v, Go has %v", got, want)
	}
}

func TestPartitionSizeIsThatOfTheSchema(t *testing.T) {
	t.Parallel()
	if got := query[int64](t, outboxtest.DB(t), "select outbox.partition_size()"); got != janitor.PartitionSize {
		t.Errorf("outbox.partition_size() = %d, janitor.PartitionSize = %d", got, janitor.PartitionSize)
	}
}
