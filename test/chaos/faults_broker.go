//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// between returns a duration of least to most milliseconds, which the seed of the injection decides.
func (i *injection) between(least, most int64) time.Duration {
	random := rand.New(rand.NewPCG(i.seed, 2)) //nolint:gosec // Repeatable on purpose.
	return time.Duration(least+random.Int64N(most-least+1)) * time.Millisecond
}

func (w *world) cutBroker(ctx context.Context, i *injection) (int, error) {
	return w.brokerTrouble(ctx, i, path{w.ToBroker}.cut(i.lasts))
}

func (w *world) resetBroker(ctx context.Context, i *injection) (int, error) {
	return w.brokerTrouble(ctx, i, path{w.ToBroker}.reset(i.lasts))
}

func (w *world) slowPath(ctx context.Context, i *injection) (int, error) {
	return w.brokerTrouble(ctx, i, path{w.ToBroker}.slow(i.lasts, i.between(50, 400)))
}

func (w *world) stallBroker(ctx context.Context, i *injection) (int, error) {
	return w.brokerTrouble(ctx, i, path{w.ToBroker}.stall(i.lasts))
}

func (w *world) brokerTrouble(ctx context.Context, i *injection, do func(context.Context) (int, error)) (int, error) {
	from := time.Now()
	n, err := do(ctx)
	w.excuse(i, from, time.Now())
	return n, err
}

func (w *world) throttle(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i,
		awsfake.Fault{Kind: awsfake.FailCall, Operation: "PublishBatch", Code: "Throttled", SenderFault: true, Status: http.StatusTooManyRequests},
		awsfake.Fault{Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "RequestThrottled", SenderFault: true, Status: http.StatusBadRequest})
}

func (w *world) serverError(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i,
		awsfake.Fault{Kind: awsfake.FailCall, Probability: 0.3},
		awsfake.Fault{Kind: awsfake.FailCall, Probability: 0.3, Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable})
}

func (w *world) drop(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i, awsfake.Fault{Kind: awsfake.DropConnection, Probability: 0.5})
}

func (w *world) loseResponse(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i,
		awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossClose, Probability: 0.2},
		awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossReset, Probability: 0.2},
		awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossTruncate, Probability: 0.2})
}

func (w *world) hang(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i, awsfake.Fault{Kind: awsfake.LoseResponse, Mode: awsfake.LossHang, Probability: 0.3})
}

func (w *world) slowAnswer(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i, awsfake.Fault{Kind: awsfake.Delay, Delay: rig.SendTimeout + i.between(50, 300), Probability: 0.4})
}

func (w *world) partialFailure(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i,
		awsfake.Fault{Kind: awsfake.FailEntry, Probability: 0.15},
		awsfake.Fault{Kind: awsfake.FailEntry, Probability: 0.1, Code: "Throttled", SenderFault: true},
		awsfake.Fault{Kind: awsfake.OmitEntry, Probability: 0.1},
		awsfake.Fault{Kind: awsfake.OmitEntry, Probability: 0.1, Accepted: true},
		awsfake.Fault{Kind: awsfake.WrongMD5, Operation: "SendMessageBatch", Probability: 0.1})
}

func (w *world) accessDenied(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i,
		awsfake.Fault{Kind: awsfake.FailCall, Operation: "PublishBatch", Code: "AuthorizationError", SenderFault: true, Status: http.StatusForbidden},
		awsfake.Fault{Kind: awsfake.FailCall, Operation: "SendMessageBatch", Code: "AccessDenied", SenderFault: true, Status: http.StatusForbidden})
}

// plan makes the fake do the faults for the time i.lasts, to the calls that send, and returns how often they
// happened.
func (w *world) plan(ctx context.Context, i *injection, faults ...awsfake.Fault) (int, error) {
	from := time.Now()
	ids := map[string]bool{}
	for n, f := range faults {
		operations := []string{f.Operation}
		if f.Operation == "" {
			operations = []string{"PublishBatch", "SendMessageBatch"}
		}
		for _, operation := range operations {
			f.Operation, f.Seed = operation, i.seed+uint64(n) //nolint:gosec // A small number.
			id, err := w.Fake.AddFault(f)
			if err != nil {
				return 0, fmt.Errorf("plan a fault: %w", err)
			}
			ids[id] = true
		}
	}
	err := rig.Pause(ctx, i.lasts)
	happened := 0
	for _, f := range w.Fake.Faults() {
		if ids[f.ID] {
			happened += f.Applied
			w.Fake.RemoveFault(f.ID)
		}
	}
	w.excuse(i, from, time.Now())
	return happened, err
}

func (w *world) deleteQueue(ctx context.Context, i *injection) (int, error) {
	url := w.Outputs.Resources["AuditQueue"].URL
	if _, err := sqs.NewFromConfig(w.AWS).DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
		return 0, fmt.Errorf("delete the queue: %w", err)
	}
	waited := rig.Pause(ctx, i.lasts)
	if _, err := w.ApplyTemplate(ctx); err != nil {
		return 0, err
	}
	return 1, waited
}
