package redrive_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

const someID = "018f3d5e-7a4b-7c2d-8e9f-0a1b2c3d4e5f"

func TestParseReadsEveryField(t *testing.T) {
	t.Parallel()
	got, err := redrive.Parse([]byte(`{
		"action": "redrive", "source": "dlq", "queue": "orders-dlq.fifo", "send_to": "orders.fifo",
		"event_ids": ["` + someID + `"], "aggregate_type": "order", "aggregate_id": "42", "event_type": "order.placed",
		"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00.5+01:00", "id_from": 7, "id_to": 9223372036854775807,
		"limit": 100, "rate": 12.5, "dry_run": true, "confirm": true, "token": null, "interleave": false}`))
	if err != nil {
		t.Fatal(err)
	}
	want := redrive.Request{
		Action: redrive.ActionRedrive, Source: redrive.SourceDLQ, Queue: "orders-dlq.fifo", SendTo: "orders.fifo",
		EventIDs: []uuid.UUID{uuid.MustParse(someID)}, AggregateType: "order", AggregateID: "42", EventType: "order.placed",
		From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: got.To, IDFrom: 7, IDTo: math.MaxInt64,
		Limit: 100, Rate: 12.5, DryRun: true, Confirm: true,
	}
	if !reflect.DeepEqual(got, want) || !got.To.Equal(time.Date(2026, 11, 1, 23, 0, 0, 5e8, time.UTC)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseFillsInTheDefaultAction(t *testing.T) {
	t.Parallel()
	got, err := redrive.Parse([]byte(`{"source":"blocked"}`))
	if err != nil || got.Action != redrive.ActionRedrive {
		t.Errorf("got %+v, error %v", got, err)
	}
}

func TestParseNamesEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := redrive.Parse([]byte(`{"source":"table","queue":7,"rate":"fast","from":"yesterday","Limit":1,"limit":-1,"dry_run":1,
		"event_ids":["x"],"event_type":"","aggregate_id":"1","id_from":1.5,"id_to":-2,"token":"a","token":"b","interleave":true}`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"source: ", "queue: ", "rate: ", "from: ", "Limit: is not a field", "limit: -1", "dry_run: ", "event_ids: ", "event_type: is empty",
		"aggregate_type: is missing", "id_from: ", "id_to: -2", "token: comes twice", "interleave: ",
	} {
		if n := strings.Count(err.Error(), "\n"+want); n != 1 {
			t.Errorf("%q comes %d times in:\n%v", want, n, err)
		}
	}
}

func TestParseNamesTwoFaultsOfOneField(t *testing.T) {
	t.Parallel()
	_, err := redrive.Parse([]byte(`{"source":"dlq","token":"` + strings.Repeat("t", redrive.MaxText+1) + `"}`))
	if err == nil || !strings.Contains(err.Error(), "\ntoken: has no meaning") || !strings.Contains(err.Error(), "\ntoken: has 2049 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                 "one JSON object",
		`null`:                             "one JSON object",
		`[]`:                               "one JSON object",
		`"dlq"`:                            "one JSON object",
		`{"source":"dlq"} {}`:              "one JSON object",
		`{"source":"dlq"`:                  "one JSON object",
		`{}`:                               "source: is missing",
		`{"source":null}`:                  "source: is missing",
		`{"source":"dlq","token":"x"}`:     "token: ",
		`{"source":"blocked","queue":"x"}`: "queue: ",
		`{"source":"dlq","destination":"orders.fifo"}`:                                           "destination: has no meaning for the source dlq, whose messages do not name their outbox destination: use `send_to`",
		`{"source":"dead_letters","send_to":"q"}`:                                                "send_to: has a meaning for the source dlq only: use `destination`",
		`{"source":"blocked","send_to":"q"}`:                                                     "send_to: has a meaning for the source dlq only: use `destination`",
		`{"action":"replay","event_type":"a","send_to":"q"}`:                                     "send_to: has a meaning for the source dlq only: use `destination`",
		`{"source":"dlq","Queue":"q"}`:                                                           "Queue: is not a field of a request: the fields are action, source, queue, send_to, redirect, event_ids, destination,",
		`{"source":"dlq","limit":0}`:                                                             "limit: is zero",
		`{"source":"dlq","rate":0}`:                                                              "rate: is zero",
		`{"source":"dlq","rate":-1}`:                                                             "rate: -1",
		`{"source":"dlq","rate":1e999}`:                                                          "rate: ",
		`{"source":"dlq","event_ids":[]}`:                                                        "event_ids: is an empty list",
		`{"source":"dlq","event_ids":["00000000-0000-0000-0000-000000000000"]}`:                  "event_ids: ",
		`{"source":"dlq","event_ids":["{` + someID + `}"]}`:                                      "event_ids: ",
		`{"source":"dlq","from":"2026-01-02T00:00:00Z","to":"2026-01-02T00:00:00Z"}`:             "to: is not after `from`",
		`{"source":"dlq","id_from":9,"id_to":8}`:                                                 "id_to: 8 is less",
		`{"source":"dlq","aggregate_id":"1"}`:                                                    "aggregate_type: is missing",
		`{"source":"dlq","queue":"` + strings.Repeat("q", redrive.MaxText+1) + `"}`:              "queue: has 2049 bytes",
		`{"action":"replay"}`:                                                                    "needs a filter",
		`{"action":"replay","source":"dlq","event_type":"a"}`:                                    "source: has no meaning",
		`{"action":"retry","source":"dlq"}`:                                                      "action: ",
		`{"source":"dlq","event_ids":["` + strings.Repeat(someID+`","`, 10_001) + someID + `"]}`: "event_ids: has 10002 ids",
	} {
		name := text[:min(len(text), 60)]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := redrive.Parse([]byte(text))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
			if !reflect.DeepEqual(r, redrive.Request{}) {
				t.Errorf("a refused request came back: %+v", r)
			}
		})
	}
}

func TestZeroRequestIsRefused(t *testing.T) {
	t.Parallel()
	var r redrive.Request
	err := r.Validate()
	var field *redrive.FieldError
	if !errors.As(err, &field) || field.Field != "source" {
		t.Errorf("error %v", err)
	}
}

// What was read once can be written and read again, and what is valid to Parse
// is valid to Validate.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"source":"dlq"}`))
	f.Add([]byte(`{"source":"dead_letters","event_ids":["` + someID + `"],"from":"2026-01-01T00:00:00Z","confirm":true}`))
	f.Add([]byte(`{"action":"replay","aggregate_type":"a","aggregate_id":"b","interleave":true,"token":"t"}`))
	f.Add([]byte(`{"source":"dlq","limit":1,"rate":0.5,"source":"dlq"}`))
	f.Add([]byte(`{"source":{"a":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := redrive.Parse(data)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		if err = first.Validate(); err != nil {
			t.Fatalf("parsed, but not valid: %v", err)
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := redrive.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(second)
		if err != nil || string(again) != string(text) {
			t.Fatalf("%s became %s, error %v", text, again, err)
		}
	})
}

func TestAnswerNamesAFewExamplesOfEachReason(t *testing.T) {
	t.Parallel()
	var a redrive.Answer
	for range 7 {
		a.Fail("B", "bad", "id", 1)
	}
	a.Fail("A", "also bad", "other", 3)
	if a.Failed != 10 || len(a.Failures) != 2 || a.Failures[0].Reason != "A" || a.Failures[0].Count != 3 || a.Failures[1].Count != 7 ||
		len(a.Failures[1].Examples) != redrive.MaxExamples || a.Failures[1].Text != "bad" {
		t.Errorf("%+v", a)
	}
}
