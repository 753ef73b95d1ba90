package redrive_test

import (
	"fmt"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// A request as JSON, as the function dlq-redrive gets it.
func ExampleParse() {
	request, err := redrive.Parse([]byte(`{
		"source": "dead_letters", "aggregate_type": "order", "aggregate_id": "42",
		"from": "2026-11-23T00:00:00Z", "dry_run": true
	}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(request.Source, request.AggregateType, request.AggregateID, request.DryRun)

	_, err = redrive.Parse([]byte(`{"source": "dead_letters", "aggregate_id": "42", "event_typ": "order.placed"}`))
	fmt.Println(err)
	// Output:
	// dead_letters order 42 true
	// request:
	// event_typ: is not a field of a request: the fields are action, source, queue, send_to, redirect, event_ids, destination, aggregate_type, aggregate_id, event_type, from, to, id_from, id_to, limit, rate, dry_run, confirm, token, interleave
	// aggregate_type: is missing: an `aggregate_id` needs one
}
