package view_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

func TestListsGolden(t *testing.T) {
	t.Parallel()
	at := now.Add(-10 * time.Minute)
	dead := []pgadmin.DeadLetter{
		{
			ID: 42, EventID: event, Destination: "default", AggregateType: "order", AggregateID: "1234", EventType: "order.placed",
			CreatedAt: at.Add(-time.Second), DeadAt: at, Attempts: 20, Code: "InvalidMessageContents", Reason: "refused\nfor good", Blocks: true,
			Payload: "{\"a\": \"\x1b[31m\"}", Headers: json.RawMessage(`{"k":"v"}`),
		},
		{
			ID: 1042, EventID: other, Destination: "invoi\x1b[31mces", AggregateType: "invoice", AggregateID: "7", EventType: "invoice.sent",
			CreatedAt: at, DeadAt: now.Add(-time.Second), Attempts: 1, Code: "MessageTooLong", Reason: "too long", Replays: 1,
		},
	}
	lanes := []pgadmin.BlockedLane{
		{FirstID: 42, EventID: event, DeadLetter: true, Destination: "default", AggregateType: "order", AggregateID: "1234", BlockedAt: at, Reason: "refused", Waiting: 1234},
		{FirstID: 50, EventID: other, Destination: "default", AggregateType: "order", AggregateID: "5", BlockedAt: at, Reason: "refused", Waiting: 1},
		{FirstID: 60, EventID: other, DeadLetter: true, Destination: "audit", AggregateType: "order", AggregateID: "6", BlockedAt: at, ReleasedAt: &now, Reason: "redriven"},
	}
	redrives := []pgadmin.DLQRedrive{
		{
			ID: 3, StartedAt: now.Add(-time.Second), Login: "outbox_redrive", RequestID: "5f1c", Queue: "arn:aws:sqs:eu-west-1:123456789012:orders-dlq.fifo",
			SendTo: "arn:aws:sqs:eu-west-1:123456789012:orders.fifo", Request: redrive.Request{Source: redrive.SourceDLQ, EventType: "order.placed", Limit: 10},
		},
		{
			ID: 2, StartedAt: at, EndedAt: &now, Login: "ada", RequestID: "outbox-cli \x1b[31mada", Queue: "orders-dlq.fifo", SendTo: "orders.fifo",
			Request: redrive.Request{Source: redrive.SourceDLQ}, Answer: &redrive.Answer{Redriven: 1234, Failed: 1, Stopped: redrive.StopTime},
		},
		{ID: 1, StartedAt: at, EndedAt: &at, Login: "ada", RequestID: "r", Queue: "orders-dlq.fifo", SendTo: "orders.fifo", Answer: &redrive.Answer{}},
	}
	for name, write := range map[string]func(b *bytes.Buffer, s view.Style) error{
		"redrive_list": func(b *bytes.Buffer, s view.Style) error { return view.DLQRedrivesText(b, s, redrives, true, now) },
		"redrive_none": func(b *bytes.Buffer, s view.Style) error { return view.DLQRedrivesText(b, s, nil, false, now) },
		"dead_list":    func(b *bytes.Buffer, s view.Style) error { return view.DeadLettersText(b, s, dead, true, now) },
		"dead_none":    func(b *bytes.Buffer, s view.Style) error { return view.DeadLettersText(b, s, nil, false, now) },
		"dead_detail":  func(b *bytes.Buffer, s view.Style) error { return view.DeadLettersDetail(b, s, dead, now) },
		"blocked_list": func(b *bytes.Buffer, s view.Style) error { return view.BlockedText(b, s, lanes, false, now) },
		"blocked_none": func(b *bytes.Buffer, s view.Style) error { return view.BlockedText(b, s, nil, false, now) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, color bytes.Buffer
			if err := write(&text, view.Style{}); err != nil {
				t.Fatal(err)
			}
			if err := write(&color, view.Style{Color: true}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.Bytes())
			if strings.Contains(text.String(), "\x1b") || strings.Contains(color.String(), "\x1b[31mces") {
				t.Error("text of an event steers the terminal")
			}
		})
	}
	var object bytes.Buffer
	if err := view.ListJSON(&object, dead); err != nil {
		t.Fatal(err)
	}
	golden(t, "dead_list.json", object.Bytes())
	object.Reset()
	if err := view.ListJSON(&object, lanes); err != nil {
		t.Fatal(err)
	}
	golden(t, "blocked_list.json", object.Bytes())
}

func TestAnswerGolden(t *testing.T) {
	t.Parallel()
	partial := redrive.Answer{
		Action: redrive.ActionRedrive, Source: redrive.SourceDeadLetters, Redriven: 1234, Unconfirmed: 2, OutOfOrder: 1, GroupsStopped: 1, Unseen: 1,
		More: true, Token: "1042", Stopped: redrive.StopTime, Notes: []string{"one\x1b[31m note"}, Seconds: 12.34,
	}
	partial.Fail("Refused", "breaks a rule", event.String(), 1)
	partial.Fail("Refused", "breaks a rule", other.String(), 1)
	for name, a := range map[string]redrive.Answer{
		"partial": partial,
		"queue":   {Action: redrive.ActionRedrive, Source: redrive.SourceDLQ, Queue: "orders-dlq.fifo", SendTo: "orders.fifo", Redriven: 1, Skipped: 3, Duplicates: 1, Seconds: 0.5},
		"dry":     {Action: redrive.ActionRedrive, Source: redrive.SourceDeadLetters, DryRun: true, Matched: 3},
		"release": {Action: redrive.ActionRedrive, Source: redrive.SourceBlocked, Redriven: 2, Released: 2},
		"replay":  {Action: redrive.ActionReplay, Redriven: 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, object bytes.Buffer
			if err := view.AnswerText(&text, view.Style{}, &a); err != nil {
				t.Fatal(err)
			}
			if err := view.JSON(&object, &a); err != nil {
				t.Fatal(err)
			}
			golden(t, "answer_"+name+".txt", text.Bytes())
			golden(t, "answer_"+name+".json", object.Bytes())
			if strings.Contains(text.String(), "\x1b") {
				t.Error("text of a broker steers the terminal")
			}
		})
	}
}
