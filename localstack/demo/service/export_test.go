package service

import (
	"context"
	"iter"

	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
)

// Feed hands deliveries out as a load does.
func Feed(ctx context.Context, deliveries iter.Seq[source.Delivery], l Load, take func(source.Delivery)) {
	input, done := make(chan source.Delivery), make(chan struct{})
	go func() {
		defer close(done)
		for d := range input {
			take(d)
		}
	}()
	var p Progress
	feed(ctx, deliveries, l, []chan source.Delivery{input}, &p)
	<-done
}
