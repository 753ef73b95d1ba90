package awsfake_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func batch(url string, ids ...string) *sqs.SendMessageBatchInput {
	in := &sqs.SendMessageBatchInput{QueueUrl: &url}
	for _, id := range ids {
		in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{
			Id: aws.String(id), MessageBody: aws.String(id), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String(id),
		})
	}
	return in
}

func accepted(s *awsfake.Server) []string {
	var ids []string
	for a := range s.History() {
		if !a.Suppressed {
			ids = append(ids, a.DeduplicationID)
		}
	}
	return ids
}

func addFault(t *testing.T, s *awsfake.Server, f awsfake.Fault) {
	t.Helper()
	if _, err := s.AddFault(f); err != nil {
		t.Fatal(err)
	}
}

func TestFailedEntryLeavesItsNeighboursAccepted(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	addFault(t, s, awsfake.Fault{Kind: awsfake.FailEntry, Operation: "SendMessageBatch", Entry: 2, Count: 1, Code: "ThrottlingException"})
	out, err := q.SendMessageBatch(t.Context(), batch(url, "1", "2", "3"))
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "2" || *out.Failed[0].Code != "ThrottlingException" || out.Failed[0].SenderFault {
		t.Fatalf("successful %d, failed %v", len(out.Successful), out.Failed)
	}
	if got := accepted(s); !slices.Equal(got, []string{"1", "3"}) {
		t.Fatalf("accepted %v", got)
	}
	if out, err = q.SendMessageBatch(t.Context(), batch(url, "2")); err != nil || len(out.Failed) != 0 {
		t.Fatalf("after the fault is spent: %v, %v", out, err)
	}
	if applied := s.AppliedFaults(); len(applied) != 1 || applied[0].Entry != 2 || applied[0].GroupID != "g" {
		t.Fatalf("applied %+v", applied)
	}
}

func TestOmittedEntryIsInNeitherList(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"accepted": true, "not accepted": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, awsfake.Config{})
			q, _ := clients(s)
			url := createQueue(t, q, "q.fifo")
			addFault(t, s, awsfake.Fault{Kind: awsfake.OmitEntry, Entry: 1, Accepted: taken})
			out, err := q.SendMessageBatch(t.Context(), batch(url, "1", "2"))
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Successful) != 1 || *out.Successful[0].Id != "2" || len(out.Failed) != 0 {
				t.Fatalf("successful %v, failed %v", out.Successful, out.Failed)
			}
			if got := slices.Contains(accepted(s), "1"); got != taken {
				t.Fatalf("accepted: %v, want %v", got, taken)
			}
		})
	}
}

func TestRefusedCallHasTheTypedErrorAndAcceptsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	addFault(t, s, awsfake.Fault{Kind: awsfake.FailCall, Resource: "q.fifo", Code: "RequestThrottled", SenderFault: true, Status: 403})
	_, err := q.SendMessageBatch(t.Context(), batch(url, "1"))
	var throttled *sqstypes.RequestThrottled
	if !errors.As(err, &throttled) {
		t.Fatalf("%v is no RequestThrottled", err)
	}
	s.ClearFaults()
	addFault(t, s, awsfake.Fault{Kind: awsfake.FailCall, Status: 503, Code: "ServiceUnavailable"})
	_, err = q.SendMessageBatch(t.Context(), batch(url, "1"))
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "ServiceUnavailable" {
		t.Fatalf("%v is no ServiceUnavailable", err)
	}
	if got := accepted(s); len(got) != 0 {
		t.Fatalf("accepted %v", got)
	}
}

func TestLostResponseIsAnErrorAlthoughAccepted(t *testing.T) {
	t.Parallel()
	for _, mode := range []awsfake.LossMode{awsfake.LossClose, awsfake.LossReset, awsfake.LossTruncate, awsfake.LossHang} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := start(t, awsfake.Config{OnAccepted: func(awsfake.Accepted) {
				if mode == awsfake.LossHang {
					cancel() // No answer comes.
				}
			}})
			q, _ := clients(s)
			url := createQueue(t, q, "q.fifo")
			addFault(t, s, awsfake.Fault{Kind: awsfake.LoseResponse, Operation: "SendMessageBatch", Mode: mode, Count: 1})
			if out, err := q.SendMessageBatch(ctx, batch(url, "1")); err == nil {
				t.Fatalf("answered %+v", out)
			}
			if got := accepted(s); !slices.Equal(got, []string{"1"}) {
				t.Fatalf("accepted %v", got)
			}
			// The same message again is suppressed, and looks like a success.
			out, err := q.SendMessageBatch(t.Context(), batch(url, "1"))
			if err != nil || len(out.Successful) != 1 {
				t.Fatalf("again: %v, %v", out, err)
			}
			if tally := s.Tally("q.fifo"); tally.Accepted != 1 || tally.Suppressed != 1 {
				t.Fatalf("tally %+v", tally)
			}
		})
	}
}

func TestDroppedConnectionAcceptsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	addFault(t, s, awsfake.Fault{Kind: awsfake.DropConnection, Operation: "SendMessageBatch"})
	if _, err := q.SendMessageBatch(t.Context(), batch(url, "1")); err == nil {
		t.Fatal("answered")
	}
	if got := accepted(s); len(got) != 0 {
		t.Fatalf("accepted %v", got)
	}
}

func TestWrongChecksumFailsTheCallAlthoughAccepted(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	addFault(t, s, awsfake.Fault{Kind: awsfake.WrongMD5, Entry: 1})
	if _, err := q.SendMessageBatch(t.Context(), batch(url, "1", "2")); err == nil {
		t.Fatal("the SDK took the wrong checksum")
	}
	if got := accepted(s); !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("accepted %v", got)
	}
}

func TestFaultsByCountAndProbabilityRepeatWithTheirSeed(t *testing.T) {
	t.Parallel()
	pattern := func() (failed []int) {
		s := start(t, awsfake.Config{})
		q, _ := clients(s)
		url := createQueue(t, q, "q.fifo")
		addFault(t, s, awsfake.Fault{Kind: awsfake.FailEntry, After: 2, Probability: 0.5, Seed: 7, Count: 5})
		for i := range 20 {
			out, err := q.SendMessageBatch(t.Context(), batch(url, "x"))
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Failed) > 0 {
				failed = append(failed, i)
			}
		}
		return failed
	}
	first, second := pattern(), pattern()
	if !slices.Equal(first, second) || len(first) != 5 || first[0] < 2 {
		t.Fatalf("failed at %v, then at %v", first, second)
	}
}

func TestTallySeesDisorderAndRepeats(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{History: awsfake.HistoryCounts, Discard: true})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	for i, position := range []string{"1", "2", "2", "1", "3"} {
		in := batch(url, string(rune('a'+i)))
		in.Entries[0].MessageAttributes = map[string]sqstypes.MessageAttributeValue{"sequence": {DataType: aws.String("String"), StringValue: aws.String(position)}}
		if _, err := q.SendMessageBatch(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Tally("q.fifo")
	if got.Accepted != 5 || got.Repeated != 1 || got.OutOfOrder != 1 || got.Groups != 1 {
		t.Fatalf("tally %+v", got)
	}
}
