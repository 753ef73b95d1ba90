package sqsdlq_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// What a redrive by hand does wrong: it sends the event under the id that it
// has, and deletes the copy. Inside five minutes the queue swallows it.
func TestTheOldDeduplicationIDVanishesAndOursArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := event(t, "1", 1)
	w.send(t, w.live, m)
	w.fail(t, w.live)
	if d := w.depth(t, w.dlq); d.Visible != 1 {
		t.Fatalf("the dead-letter queue holds %+v", d)
	}
	w.send(t, w.live, m) // by hand, under the old id
	if got := w.drain(t, w.live); len(got) != 0 {
		t.Fatalf("the queue delivered %d messages: this test cannot show the trap", len(got))
	}

	answer := w.run(t, quick(), redrive.Request{})
	if answer.Redriven != 1 || answer.More || answer.Failed != 0 {
		t.Errorf("answer %+v", answer)
	}
	got := w.drain(t, w.live)
	if len(got) != 1 || *got[0].Body != m.Body {
		t.Fatalf("the queue delivered %d messages", len(got))
	}
	if id := aws.ToString(got[0].MessageAttributes["event_id"].StringValue); id != m.DeduplicationID {
		t.Errorf("event id %q, want %q", id, m.DeduplicationID)
	}
	if n := aws.ToString(got[0].MessageAttributes["redrives"].StringValue); n != "1" {
		t.Errorf("redrives %q", n)
	}
	if g := got[0].Attributes["MessageGroupId"]; g != m.GroupID {
		t.Errorf("group %q", g)
	}
	if d := w.depth(t, w.dlq); d != (dlq.Depth{}) {
		t.Errorf("the dead-letter queue holds %+v", d)
	}
}

// A message that fails again and again comes back every time, inside the same
// five minutes.
func TestTheSameEventComesBackEveryTimeInsideFiveMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(t, w.live, event(t, "1", 1))
	for round := 1; round <= 4; round++ {
		w.fail(t, w.live)
		if answer := w.run(t, quick(), redrive.Request{}); answer.Redriven != 1 {
			t.Fatalf("round %d: answer %+v", round, answer)
		}
		if d := w.depth(t, w.live); d.Visible != 1 {
			t.Fatalf("round %d: the queue holds %+v", round, d)
		}
	}
	got := w.drain(t, w.live)
	if n := aws.ToString(got[0].MessageAttributes["redrives"].StringValue); n != "4" || len(got[0].MessageAttributes) != 7 {
		t.Errorf("redrives %q, %d attributes", n, len(got[0].MessageAttributes))
	}
}

// A replay by the relay publishes under <id>#r1, and its copy in the dead-letter
// queue does not know of the redrive before it. All five sends arrive.
func TestRedrivesAndReplaysNeverShareADeduplicationID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := event(t, "1", 1)
	for replay := range 3 {
		again := m
		if replay > 0 {
			again.DeduplicationID = fmt.Sprintf("%s#r%d", m.DeduplicationID, replay)
		}
		w.send(t, w.live, again)
		w.fail(t, w.live)
		if answer := w.run(t, quick(), redrive.Request{}); answer.Redriven != 1 {
			t.Fatalf("answer %+v", answer)
		}
		w.fail(t, w.live)
		if d := w.depth(t, w.dlq); d.Visible != 1 {
			t.Fatalf("after replay %d the dead-letter queue holds %+v", replay, d)
		}
		w.drain(t, w.dlq)
	}
	if _, suppressed := w.delivered(); suppressed != 0 {
		t.Errorf("%d messages were swallowed", suppressed)
	}
}

func TestTenGroupsComeBackCompletelyAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 10, 25)
	answer := w.run(t, quick(), redrive.Request{})
	if answer.Redriven != 250 || answer.More || answer.Stopped != "" || len(answer.Notes) == 0 ||
		answer.Queue != "orders-dlq.fifo" || answer.SendTo != "orders.fifo" {
		t.Errorf("answer %+v", answer)
	}
	all, suppressed := w.delivered()
	inOrder(t, all, 10, 25)
	if d := w.depth(t, w.dlq); d != (dlq.Depth{}) || suppressed != 0 {
		t.Errorf("the dead-letter queue holds %+v, %d swallowed", d, suppressed)
	}
}

var errKilled = errors.New("killed")

// Every call of a run is, in turn, the last that happens, and the last whose
// answer arrives. The next run brings the rest back.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"before", "after"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				w := newWorld(t)
				w.bury(t, 2, 3)
				killed := false
				die := func(_ string, n int) error {
					if n >= step {
						killed = true
						return errKilled
					}
					return nil
				}
				f := &faulty{before: die}
				if mode == "after" {
					f = &faulty{before: func(_ string, n int) error {
						if n > step {
							return errKilled
						}
						return nil
					}, after: die}
				}
				cfg := quick()
				cfg.Receivers, cfg.Attempts = 1, 1
				w.runRoute(t, cfg, redrive.Request{}, w.tamper(t, f))
				w.fake.Advance(61 * time.Second)
				last := w.run(t, quick(), redrive.Request{})
				all, _ := w.delivered()
				inOrder(t, all, 2, 3)
				if d := w.depth(t, w.dlq); d != (dlq.Depth{}) {
					t.Fatalf("step %d: the dead-letter queue holds %+v, answer %+v", step, d, last)
				}
				_ = w.fake.Close()
				if !killed {
					if step < 10 {
						t.Fatalf("a run of %d steps", step)
					}
					return
				}
			}
		})
	}
}

// Two runs at once, while new events flow, and five kills on the way.
func TestTwoRunsFiveKillsAndLiveTraffic(t *testing.T) {
	t.Parallel()
	groups, each := size(24, 500), 20
	w := newWorld(t)
	w.bury(t, groups, each)
	flow, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	liveSent := 0
	others.Go(func() {
		for flow.Err() == nil {
			_, err := w.sqs.SendMessage(flow, &sqs.SendMessageInput{
				QueueUrl: &w.live, MessageBody: aws.String(fmt.Sprintf(`"live %d"`, liveSent)),
				MessageGroupId: aws.String(fmt.Sprintf("order:%d", liveSent%groups)), MessageDeduplicationId: aws.String(uuid.NewString()),
			})
			if err == nil {
				liveSent++
			}
		}
	})
	started := time.Now()
	for kill := 1; kill <= 5; kill++ {
		// The later, the more work the run has done.
		f := &faulty{before: func(_ string, n int) error {
			if n > kill*groups/3 {
				return errKilled
			}
			return nil
		}}
		route := w.tamper(t, f)
		cfg := quick()
		cfg.Attempts = 1
		var beside sync.WaitGroup
		beside.Go(func() { w.run(t, quick(), redrive.Request{Limit: groups * each / 20}) })
		w.runRoute(t, cfg, redrive.Request{}, route)
		beside.Wait()
		w.fake.Advance(61 * time.Second)
	}
	var last redrive.Answer
	for range 10 {
		if last = w.run(t, quick(), redrive.Request{}); !last.More {
			break
		}
		w.fake.Advance(61 * time.Second)
	}
	took := time.Since(started)
	stop()
	others.Wait()
	all, suppressed := w.delivered()
	inOrder(t, all, groups, each)
	if d := w.depth(t, w.dlq); d != (dlq.Depth{}) || last.More {
		t.Errorf("the dead-letter queue holds %+v, answer %+v", d, last)
	}
	if liveSent == 0 {
		t.Error("no live traffic")
	}
	t.Logf("%d messages of %d groups in %v beside %d live ones; %d repeated sends were swallowed", groups*each, groups, took, liveSent, suppressed)
}

func TestOneRefusedMessageStopsItsGroupOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 3, 5)
	if _, err := w.fake.AddFault(awsfake.Fault{
		Kind: awsfake.FailEntry, Operation: "SendMessageBatch", GroupID: "order:1", After: 2, Code: "InvalidMessageContents", SenderFault: true,
	}); err != nil {
		t.Fatal(err)
	}
	answer := w.run(t, quick(), redrive.Request{})
	if answer.Redriven != 12 || answer.Failed != 1 || answer.GroupsStopped != 1 || answer.More ||
		len(answer.Failures) != 1 || answer.Failures[0].Reason != "InvalidMessageContents" {
		t.Errorf("answer %+v", answer)
	}
	if _, err := uuid.Parse(answer.Failures[0].Examples[0]); err != nil {
		t.Errorf("examples %v", answer.Failures[0].Examples)
	}
	// What stays is visible at once, in order.
	left := w.drain(t, w.dlq)
	if len(left) != 3 || *left[0].Body != "3" || *left[1].Body != "4" || *left[2].Body != "5" {
		t.Errorf("%d messages are left", len(left))
	}
}

func TestThrottlingDelaysAndFailsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 5, 10)
	for _, f := range []awsfake.Fault{
		{Kind: awsfake.FailEntry, Operation: "SendMessageBatch", Code: "ThrottlingException", Probability: 0.3, Seed: 1, Count: 60},
		{Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "RequestThrottled", SenderFault: true, Status: 403, Count: 12},
		{Kind: awsfake.FailCall, Operation: "DeleteMessageBatch", Code: "RequestThrottled", SenderFault: true, Status: 403, Count: 3},
		{Kind: awsfake.FailEntry, Operation: "DeleteMessageBatch", Code: "InternalError", Count: 3},
		{Kind: awsfake.FailCall, Operation: "ReceiveMessage", Code: "RequestThrottled", SenderFault: true, Status: 403, After: 2, Count: 3},
	} {
		if _, err := w.fake.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	cfg := quick()
	cfg.Attempts = 10
	answer := w.run(t, cfg, redrive.Request{})
	if answer.Redriven != 50 || answer.Failed != 0 || answer.More {
		t.Errorf("answer %+v\n%s", answer, failures(&answer))
	}
	all, _ := w.delivered()
	inOrder(t, all, 5, 10)
}

// The answers to a third of all calls are lost, after the call was carried out.
func TestLostAnswersRepeatTheSameMessagesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 5, 12)
	for _, operation := range []string{"SendMessageBatch", "DeleteMessageBatch", "ReceiveMessage"} {
		if _, err := w.fake.AddFault(awsfake.Fault{
			Kind: awsfake.LoseResponse, Operation: operation, Probability: 0.33, Seed: 7, Mode: awsfake.LossReset,
		}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := quick()
	cfg.Attempts = 20
	answer := w.run(t, cfg, redrive.Request{})
	if answer.Redriven != 60 || answer.Failed != 0 || answer.More || answer.Duplicates != 0 {
		t.Errorf("answer %+v\n%s", answer, failures(&answer))
	}
	all, suppressed := w.delivered()
	inOrder(t, all, 5, 12)
	if suppressed == 0 {
		t.Error("no send was repeated: nothing was tested")
	}
}

func TestADestinationThatRefusesEverythingEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 5, 10)
	id, err := w.fake.AddFault(awsfake.Fault{
		Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "AccessDenied", SenderFault: true, Status: 403,
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := w.run(t, quick(), redrive.Request{})
	if answer.Stopped != redrive.StopUnavailable || !answer.More || answer.Redriven != 0 || answer.Failed != 0 || answer.Problem == "" {
		t.Errorf("answer %+v", answer)
	}
	w.fake.RemoveFault(id)
	if d := w.depth(t, w.dlq); d.Visible != 50 {
		t.Fatalf("the dead-letter queue holds %+v", d)
	}
	if answer = w.run(t, quick(), redrive.Request{}); answer.Redriven != 50 {
		t.Errorf("answer %+v", answer)
	}
	all, _ := w.delivered()
	inOrder(t, all, 5, 10)
}

// The receipt of an accepted message runs out before it is deleted: it is not
// deleted by a receipt that somebody else's has replaced, and the group stops.
func TestNothingIsDeletedWithAnExpiredReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 2, 3)
	expired := false
	f := &faulty{after: func(call string, _ int) error {
		if call == "send" && !expired {
			expired = true
			w.fake.Advance(61 * time.Second)
		}
		return nil
	}}
	cfg := quick()
	cfg.Receivers = 1
	answer := w.runRoute(t, cfg, redrive.Request{}, w.tamper(t, f))
	if answer.Duplicates != 2 || answer.Redriven != 2 || answer.GroupsStopped != 2 {
		t.Errorf("answer %+v", answer)
	}
	if answer = w.run(t, quick(), redrive.Request{}); answer.Redriven != 6 {
		t.Errorf("second answer %+v", answer)
	}
	all, suppressed := w.delivered()
	inOrder(t, all, 2, 3)
	if suppressed != 2 {
		t.Errorf("%d sends were swallowed, want those 2 that were repeated", suppressed)
	}
}

func TestLimitIsExactAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 7, 10)
	total := 0
	for range 10 {
		answer := w.run(t, quick(), redrive.Request{Limit: 23})
		total += answer.Redriven
		if want := min(23, 70-(total-answer.Redriven)); answer.Redriven != want {
			t.Fatalf("redriven %d, want %d", answer.Redriven, want)
		}
		if !answer.More {
			break
		}
		if answer.Stopped != redrive.StopLimit {
			t.Fatalf("answer %+v", answer)
		}
	}
	all, _ := w.delivered()
	inOrder(t, all, 7, 10)
}

// size returns the small number, or the large one in a campaign.
func size(small, large int) int {
	if *campaign {
		return large
	}
	return small
}

// Nothing that is sent is lost when a run is canceled, and what it had in hand
// is visible at once.
func TestACanceledRunLetsGoOfEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 5, 10)
	ctx, cancel := context.WithCancel(t.Context())
	sends := 0
	f := &faulty{before: func(call string, _ int) error {
		if call == "send" {
			if sends++; sends == 3 {
				cancel()
			}
		}
		return nil
	}}
	engine, err := dlq.New(dlq.Config{Wait: -1, Receivers: 1})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := engine.Run(ctx, w.tamper(t, f), redrive.Request{Source: redrive.SourceDLQ}, time.Now().Add(time.Minute))
	if err != nil || answer.Stopped != redrive.StopCanceled || !answer.More || answer.Failed != 0 {
		t.Fatalf("answer %+v, error %v", answer, err)
	}
	if d := w.depth(t, w.dlq); d.Hidden != 0 || d.Visible != 50-answer.Redriven {
		t.Errorf("redriven %d, the dead-letter queue holds %+v", answer.Redriven, d)
	}
	w.run(t, quick(), redrive.Request{})
	all, _ := w.delivered()
	inOrder(t, all, 5, 10)
}

func TestARequestForAnotherSourceIsRefused(t *testing.T) {
	t.Parallel()
	engine, err := dlq.New(dlq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []redrive.Request{{}, {Source: redrive.SourceBlocked}, {Source: redrive.SourceDLQ, Limit: -1}} {
		if _, err = engine.Run(t.Context(), dlq.Route{}, req, time.Now().Add(time.Minute)); err == nil {
			t.Errorf("%+v was not refused", req)
		}
	}
}
