package batch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func messages(groups ...string) []outbox.Message {
	msgs := make([]outbox.Message, len(groups))
	for i, g := range groups {
		msgs[i] = outbox.Message{GroupID: g, DeduplicationID: fmt.Sprint("d", i), Body: fmt.Sprint("body ", i), Size: 10}
	}
	return msgs
}

func limits() outbox.Limits { return outbox.Limits{Entries: 10, MessageBytes: 100, BatchBytes: 200} }

func accept(answers *Answers, i int) {
	answers.Accept(EntryID(i), fmt.Sprint("m", i), fmt.Sprint("s", i))
}

// broker refuses whole requests that hold a poison body and accepts the rest.
type broker struct {
	poison   string
	code     string
	requests [][]string
	accepted []string
}

func (b *broker) call(_ context.Context, msgs []outbox.Message, answers *Answers) error {
	var bodies []string
	for i := range msgs {
		bodies = append(bodies, msgs[i].Body)
	}
	b.requests = append(b.requests, bodies)
	if slices.ContainsFunc(bodies, func(body string) bool { return b.poison != "" && strings.Contains(b.poison, body) }) {
		return answered(400, api(b.code))
	}
	for i := range msgs {
		accept(answers, i)
		b.accepted = append(b.accepted, msgs[i].Body)
	}
	return nil
}

func classes(results []outbox.Result) []string {
	var out []string
	for _, r := range results {
		out = append(out, r.Class.String())
	}
	return out
}

func expect(t *testing.T, results []outbox.Result, want string) {
	t.Helper()
	if got := strings.Join(classes(results), " "); got != want {
		t.Errorf("classes: %s\nwant:    %s", got, want)
	}
}

func TestAnswersAreMatchedById(t *testing.T) {
	t.Parallel()
	s := NewSink(func(_ context.Context, _ []outbox.Message, answers *Answers) error {
		answers.Refuse("2", "InvalidMessageContents", "", true)
		accept(answers, 1)
		accept(answers, 0)
		for _, id := range []string{"", "9", "03", "-1"} {
			answers.Accept(id, "x", "")
		}
		accept(answers, 4)
		answers.Refuse("4", "InternalError", "", false)
		accept(answers, 5)
		accept(answers, 5)
		answers.Accept("6", "", "")
		return nil
	}, limits())
	results := s.Publish(t.Context(), messages("a", "b", "c", "d", "e", "f", "g"))
	expect(t, results, "accepted accepted rejected unknown unknown unknown unknown")
	if results[0].MessageID != "m0" || results[1].SequenceNumber != "s1" {
		t.Errorf("results got each other's ids: %+v", results[:2])
	}
	if results[3].Code != CodeNoAnswer || results[4].Code != CodeContradiction {
		t.Errorf("codes: %q and %q", results[3].Code, results[4].Code)
	}
}

func TestAPoisonMessageInARefusedRequestIsRejectedAlone(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"InvalidParameterValue", "BatchRequestTooLong"} {
		b := &broker{poison: "body 3", code: code}
		s := NewSink(b.call, limits())
		results := s.Publish(t.Context(), messages("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"))
		expect(t, results, "accepted accepted accepted rejected accepted accepted accepted accepted accepted accepted")
		if len(b.accepted) != 9 {
			t.Errorf("%s: the broker accepted %q", code, b.accepted)
		}
	}
}

func TestEventsBehindARefusedOneOfTheirGroupAreNotSent(t *testing.T) {
	t.Parallel()
	b := &broker{poison: "body 1", code: "InvalidParameterValue"}
	s := NewSink(b.call, limits())
	results := s.Publish(t.Context(), messages("a", "a", "a", "b"))
	expect(t, results, "accepted rejected transient accepted")
	if results[2].Code != CodeWithheld {
		t.Errorf("code %q", results[2].Code)
	}
	if want := []string{"body 0", "body 3"}; !slices.Equal(b.accepted, want) {
		t.Errorf("the broker accepted %q, want %q", b.accepted, want)
	}
}

func TestARefusalCondemnsNobodyBeforeTheDestinationHasWorked(t *testing.T) {
	t.Parallel()
	b := &broker{poison: "body 0 body 1 body 2", code: "InvalidParameterValue"}
	s := NewSink(b.call, limits())
	expect(t, s.Publish(t.Context(), messages("a", "b", "b")), "unavailable unavailable unavailable")

	b.poison = "body 0"
	expect(t, s.Publish(t.Context(), messages("a", "b")), "rejected accepted")
	expect(t, s.Publish(t.Context(), messages("a")), "rejected")
}

func TestAMessageThatIsTooLongIsRejectedEvenByADestinationThatNeverWorked(t *testing.T) {
	t.Parallel()
	b := &broker{poison: "body 0", code: "BatchRequestTooLong"}
	expect(t, NewSink(b.call, limits()).Publish(t.Context(), messages("a")), "rejected")
}

func TestWholeCallErrorsHoldForEveryMessageAndAreNotDivided(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"AccessDenied":  "unavailable unavailable",
		"Throttling":    "throttled throttled",
		"InternalError": "unknown unknown",
	} {
		b := &broker{poison: "body 0", code: code}
		expect(t, NewSink(b.call, limits()).Publish(t.Context(), messages("a", "b")), want)
		if len(b.requests) != 1 {
			t.Errorf("%s: %d requests", code, len(b.requests))
		}
	}
}

func TestLimitsAreKept(t *testing.T) {
	t.Parallel()
	b := &broker{}
	s := NewSink(b.call, limits())

	msgs := messages("a", "b", "a")
	msgs[0].Size = 101
	expect(t, s.Publish(t.Context(), msgs), "rejected accepted transient")

	msgs = messages("a", "b", "c")
	msgs[0].Size, msgs[1].Size, msgs[2].Size = 100, 90, 11
	expect(t, s.Publish(t.Context(), msgs), "rejected rejected rejected")

	expect(t, s.Publish(t.Context(), messages("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")),
		"rejected rejected rejected rejected rejected rejected rejected rejected rejected rejected rejected")

	if want := []string{"body 1"}; !slices.Equal(b.accepted, want) {
		t.Errorf("the broker accepted %q, want %q", b.accepted, want)
	}
	if got := s.Publish(t.Context(), nil); len(got) != 0 {
		t.Errorf("%d results for no messages", len(got))
	}
}

func TestNothingIsSentAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	b := &broker{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expect(t, NewSink(b.call, limits()).Publish(ctx, messages("a", "b")), "unknown unknown")
	if len(b.requests) != 0 {
		t.Errorf("%d requests", len(b.requests))
	}
}

// A model of a broker that answers anything: whatever it says, a message is
// accepted only if an answer says so, by its id and once; no two messages of a
// group overtake each other through our own requests.
func TestOnlyAnExplicitSuccessIsAnAcceptance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 10).Draw(t, "groups")
		accepted := map[string]int{} // by deduplication id: how often it was plainly accepted
		call := func(_ context.Context, msgs []outbox.Message, answers *Answers) error {
			said, plain := map[string]int{}, map[string]bool{}
			for range rapid.IntRange(0, 12).Draw(t, "answers") {
				id := rapid.SampledFrom([]string{"0", "1", "2", "3", "7", "9", "10", "", "x"}).Draw(t, "id")
				messageID := rapid.SampledFrom([]string{"", "m", "m"}).Draw(t, "message id")
				said[id]++
				if plain[id] = rapid.Bool().Draw(t, "accepted"); plain[id] {
					answers.Accept(id, messageID, "")
					plain[id] = messageID != ""
				} else {
					answers.Refuse(id, "", "", rapid.Bool().Draw(t, "sender fault"))
				}
			}
			// What was answered before an error of the whole request does not count.
			if rapid.IntRange(0, 2).Draw(t, "refuse") == 0 {
				code := rapid.SampledFrom([]string{"InvalidParameterValue", "New", "Throttling", "AccessDenied", "InternalError"}).Draw(t, "code")
				return answered(rapid.SampledFrom([]int{200, 400, 403, 500}).Draw(t, "status"), api(code))
			}
			for i := range msgs {
				if id := EntryID(i); said[id] == 1 && plain[id] {
					accepted[msgs[i].DeduplicationID]++
				}
			}
			return nil
		}
		msgs := messages(groups...)
		results := NewSink(call, limits()).Publish(context.Background(), msgs)
		if len(results) != len(msgs) {
			t.Fatalf("%d results for %d messages", len(results), len(msgs))
		}
		for i, r := range results {
			if got, want := r.Class == outbox.Accepted, accepted[msgs[i].DeduplicationID] == 1; got != want {
				t.Fatalf("message %d: %v, but the broker accepted it %d times", i, r.Class, accepted[msgs[i].DeduplicationID])
			}
			if (r.Err == nil) != (r.Class == outbox.Accepted) {
				t.Fatalf("message %d: %v with error %v", i, r.Class, r.Err)
			}
		}
	})
}
