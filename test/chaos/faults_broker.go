//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// between returns a duration of least to most milliseconds, the same for the same seed of the injection.
func (i *injection) between(least, most int64) time.Duration {
	random := rand.New(rand.NewPCG(i.seed, 2)) //nolint:gosec // Repeatable on purpose.
	return time.Duration(least+random.Int64N(most-least+1)) * time.Millisecond
}

func (w *world) slowAnswer(ctx context.Context, i *injection) (int, error) {
	return w.plan(ctx, i, awsfake.Fault{Kind: awsfake.Delay, Delay: rig.SendTimeout + i.between(50, 300), Probability: 0.4})
}

// answering returns a fault that the fake of SNS and SQS causes by itself: it makes the given faults for as
// long as the injection lasts.
func answering(faults ...awsfake.Fault) inject {
	return func(w *world, ctx context.Context, i *injection) (int, error) { return w.plan(ctx, i, faults...) }
}

// plan makes the fake do the faults for the time i.lasts and returns how often they happened. A fault without
// an operation is planned for PublishBatch and for SendMessageBatch.
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
