package outbox_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func record() *outbox.Record {
	return &outbox.Record{
		Event: outbox.Event{
			EventID:       uuid.MustParse("0192f0c1-2345-7abc-8def-0123456789ab"),
			AggregateType: "order", AggregateID: "42", Type: "order.placed", Destination: "default",
			Payload: json.RawMessage(`{"total": 12 }`),
		},
		ID: 1234, CreatedAt: time.Date(2026, 11, 23, 21, 0, 0, 123456000, time.FixedZone("CET", 3600)),
	}
}

func TestEncodeMakesTheDocumentedMessage(t *testing.T) {
	t.Parallel()
	rec := record()
	rec.Headers = map[string]string{"traceparent": "00-ab-cd-01", "tracestate": "v=<1>", "tenant": "x"}
	got, err := outbox.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	want := []outbox.Attribute{
		{Name: "aggregate_id", Value: "42"},
		{Name: "aggregate_type", Value: "order"},
		{Name: "created_at", Value: "2026-11-23T20:00:00.123456Z"},
		{Name: "event_id", Value: "0192f0c1-2345-7abc-8def-0123456789ab"},
		{Name: "event_type", Value: "order.placed"},
		{Name: "headers", Value: "tenant=x&tracestate=v%3D%3C1%3E"},
		{Name: "sequence", Value: "1234"},
		{Name: "traceparent", Value: "00-ab-cd-01"},
	}
	if !slices.Equal(got.Attributes, want) {
		t.Errorf("attributes are\n%v, want\n%v", got.Attributes, want)
	}
	if got.GroupID != "order:42" || got.DeduplicationID != "0192f0c1-2345-7abc-8def-0123456789ab" || got.Body != `{"total": 12 }` {
		t.Errorf("message is %+v", got)
	}
	if want := recomputed(got); got.Size != want {
		t.Errorf("size is %d, want %d", got.Size, want)
	}
}

func recomputed(m outbox.Message) int {
	size := len(m.Body)
	for _, a := range m.Attributes {
		size += len(a.Name + "String" + a.Value)
	}
	return size
}

func TestEncodeLeavesOutWhatIsEmpty(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string]map[string]string{"no headers": nil, "empty headers": {}} {
		rec := record()
		rec.Headers = headers
		got, err := outbox.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got.Attributes {
			if a.Value == "" || a.Name == "headers" || a.Name == "traceparent" {
				t.Errorf("%s: attribute %+v", name, a)
			}
		}
		if len(got.Attributes) != 6 {
			t.Errorf("%s: %d attributes, want 6", name, len(got.Attributes))
		}
	}
}

func TestReplaysHaveDeduplicationIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	rec := record()
	rec.Replays = 12
	got, err := outbox.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	if want := rec.EventID.String() + "#r12"; got.DeduplicationID != want {
		t.Errorf("deduplication id is %q, want %q", got.DeduplicationID, want)
	}
	if got.Attributes[3].Value != rec.EventID.String() {
		t.Errorf("attribute event_id is %q", got.Attributes[3].Value)
	}
}

// A message of a replay says so, with the sequence that the event had before,
// and never has more attributes than are allowed.
func TestReplayIsMarked(t *testing.T) {
	t.Parallel()
	rec := record()
	rec.Headers = map[string]string{"traceparent": "00-ab-cd-01", "tenant": "x"}
	rec.Replays, rec.ReplayOf = 1, 77
	got, err := outbox.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	want := []outbox.Attribute{
		{Name: "aggregate_id", Value: "42"},
		{Name: "aggregate_type", Value: "order"},
		{Name: "created_at", Value: "2026-11-23T20:00:00.123456Z"},
		{Name: "event_id", Value: "0192f0c1-2345-7abc-8def-0123456789ab"},
		{Name: "event_type", Value: "order.placed"},
		{Name: "headers", Value: "tenant=x"},
		{Name: "outbox-replay", Value: "77"},
		{Name: "sequence", Value: "1234"},
		{Name: "traceparent", Value: "00-ab-cd-01"},
	}
	if !slices.Equal(got.Attributes, want) {
		t.Errorf("attributes are\n%v, want\n%v", got.Attributes, want)
	}
	if room := outbox.MaxAttributes - len(got.Attributes); room != 1 {
		t.Errorf("%d attributes leave room for %d, want 1 for a redrive", len(got.Attributes), room)
	}
	if got.Size != recomputed(got) {
		t.Errorf("size is %d, want %d", got.Size, recomputed(got))
	}
}

func TestEncodeRefusesWhatABrokerWould(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*outbox.Record)
		field  string
		code   string
	}{
		"no event id":              {func(r *outbox.Record) { r.EventID = uuid.Nil }, "EventID", "InvalidEvent"},
		"empty payload":            {func(r *outbox.Record) { r.Payload = nil }, "Payload", "InvalidEvent"},
		"empty aggregate type":     {func(r *outbox.Record) { r.AggregateType = "" }, "AggregateType", "InvalidEvent"},
		"empty aggregate id":       {func(r *outbox.Record) { r.AggregateID = "" }, "AggregateID", "InvalidEvent"},
		"empty type":               {func(r *outbox.Record) { r.Type = "" }, "Type", "InvalidEvent"},
		"control character":        {func(r *outbox.Record) { r.AggregateID = "a\x00b" }, "AggregateID", "InvalidMessageContents"},
		"noncharacter in the body": {func(r *outbox.Record) { r.Payload = json.RawMessage("\"\uffff\"") }, "Payload", "InvalidMessageContents"},
		"not UTF-8":                {func(r *outbox.Record) { r.Type = "\xff" }, "Type", "InvalidMessageContents"},
		"too large":                {func(r *outbox.Record) { r.Payload = make([]byte, 1<<20); fillSpaces(r.Payload) }, "Message", "MessageTooLong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := record()
			tc.change(rec)
			_, err := outbox.Encode(rec)
			var fault *outbox.FieldError
			if !errors.As(err, &fault) || !errors.Is(err, outbox.ErrInvalid) {
				t.Fatalf("error is %v, want a FieldError", err)
			}
			if fault.Field != tc.field || fault.Code() != tc.code {
				t.Errorf("fault is %s of %s (%v), want %s of %s", fault.Code(), fault.Field, fault, tc.code, tc.field)
			}
		})
	}
}

func fillSpaces(b []byte) {
	for i := range b {
		b[i] = ' '
	}
}

func TestGroupIDIsReadableOrHashed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kind, id, want string }{
		{"order", "42", "order:42"},
		{"order", "a:b", "order:a:b"},
		{"a.b", "c/d?e", "a.b:c/d?e"},
		{"order", strings.Repeat("x", 122), "order:" + strings.Repeat("x", 122)},
		{"order", strings.Repeat("x", 123), ""},
		{"order:a", "b", ""},
		{"#x", "b", ""},
		{"order", "a b", ""},
		{"order", "é", ""},
		{"order", "a\x7f", ""},
	} {
		got := outbox.GroupID(tc.kind, tc.id)
		if tc.want != "" && got != tc.want {
			t.Errorf("GroupID(%q, %q) is %q, want %q", tc.kind, tc.id, got, tc.want)
		}
		if tc.want == "" && (len(got) != 65 || got[0] != '#') {
			t.Errorf("GroupID(%q, %q) is %q, want a hash", tc.kind, tc.id, got)
		}
	}
	seen := map[string][2]string{}
	for _, p := range [][2]string{{"a.b", "c"}, {"a", "b.c"}, {"a:b", "c"}, {"a", "b:c"}, {"ab c", "d"}, {"ab", " cd"}, {"ab ", "cd"}} {
		g := outbox.GroupID(p[0], p[1])
		if other, ok := seen[g]; ok {
			t.Errorf("%q and %q share the group %q", p, other, g)
		}
		seen[g] = p
	}
}

func validGroup(g string) bool {
	if len(g) < 1 || len(g) > 128 {
		return false
	}
	const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	for _, c := range g {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune(punctuation, c) {
			return false
		}
	}
	return true
}

func FuzzGroupID(f *testing.F) {
	f.Add("a.b", "c", "a", "b.c")
	f.Add("a:b", "c", "a", "b:c")
	f.Add("a b", "c", "a", " bc")
	f.Add("#", "x", strings.Repeat("é", 200), "")
	f.Fuzz(func(t *testing.T, type1, id1, type2, id2 string) {
		g1, g2 := outbox.GroupID(type1, id1), outbox.GroupID(type2, id2)
		if !validGroup(g1) || !validGroup(g2) {
			t.Fatalf("brokers refuse %q or %q", g1, g2)
		}
		if same := type1 == type2 && id1 == id2; same != (g1 == g2) {
			t.Fatalf("(%q, %q) and (%q, %q) have the groups %q and %q", type1, id1, type2, id2, g1, g2)
		}
	})
}

func FuzzValidEventEncodes(f *testing.F) {
	f.Add("order", "1", "placed", "", []byte(`{}`), "k", "v", 0)
	f.Add(strings.Repeat("é", 256), strings.Repeat("日", 1024), strings.Repeat("𝄞", 256), "d", []byte(`1`), "<&>", "\"\\", 3)
	f.Add("a\x00", "b\xff", "\ufffe", "\x01", []byte("\"\uffff\""), "", "\x7f", -1)
	f.Fuzz(func(t *testing.T, kind, id, typ, destination string, payload []byte, key, value string, replays int) {
		e := outbox.Event{
			AggregateType: kind, AggregateID: id, Type: typ, Destination: destination, Payload: payload,
			Headers: map[string]string{key: value, "traceparent": value},
		}
		err := e.Validate()
		e.EventID = uuid.New()
		m, encodeErr := outbox.Encode(&outbox.Record{Event: e, ID: 1 << 62, Replays: replays, ReplayOf: int64(replays)})
		if err != nil {
			if !errors.Is(err, outbox.ErrInvalid) {
				t.Fatalf("fault %v does not match ErrInvalid", err)
			}
			return
		}
		if encodeErr != nil {
			t.Fatalf("valid event does not encode: %v", encodeErr)
		}
		if m.Size != recomputed(m) || m.Size > outbox.MaxMessageBytes || len(m.Attributes) > outbox.MaxAttributes {
			t.Fatalf("size %d (recomputed %d), %d attributes", m.Size, recomputed(m), len(m.Attributes))
		}
		if !validGroup(m.GroupID) || !validGroup(m.DeduplicationID) || m.Body != string(payload) {
			t.Fatalf("message %+v", m)
		}
		for _, a := range m.Attributes {
			if a.Value == "" || !utf8.ValidString(a.Value) || strings.ContainsFunc(a.Value, refused) {
				t.Fatalf("brokers refuse the attribute %+q", a)
			}
		}
	})
}

func refused(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

// TestLargestValidEventEncodes holds MaxPayloadBytes to the room that all
// other fields may take.
func TestLargestValidEventEncodes(t *testing.T) {
	t.Parallel()
	payload := make([]byte, outbox.MaxPayloadBytes)
	fillSpaces(payload)
	payload[0] = '1'
	e := outbox.Event{
		EventID:       uuid.New(),
		AggregateType: strings.Repeat("𝄞", outbox.MaxNameLength),
		AggregateID:   strings.Repeat("𝄞", (outbox.MaxLaneBytes-1)/4-outbox.MaxNameLength),
		Type:          strings.Repeat("𝄞", outbox.MaxNameLength),
		Destination:   "d",
		Payload:       payload,
		Headers:       map[string]string{"k": strings.Repeat("&", outbox.MaxHeaderBytes-len(`{"k":""}`))},
	}
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	m, err := outbox.Encode(&outbox.Record{Event: e, ID: 1<<63 - 1, Replays: 1 << 30, ReplayOf: 1<<63 - 1})
	if err != nil {
		t.Fatal(err)
	}
	if m.Size > outbox.MaxMessageBytes {
		t.Errorf("size is %d", m.Size)
	}
}

func TestValidateNamesEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	e := outbox.Event{
		AggregateID: strings.Repeat("é", outbox.MaxAggregateIDLength+1),
		Type:        "a\x01",
		Destination: strings.Repeat("d", outbox.MaxNameLength+1),
		Payload:     json.RawMessage(`{"a":1} {}`),
		Headers:     map[string]string{"\xff": "x", "k": "a\xff"},
	}
	err := e.Validate()
	if !errors.Is(err, outbox.ErrInvalid) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{
		"AggregateType: is required", "AggregateID: has 1025 characters", "Type: has the character U+0001 at byte 1",
		"Destination: has 257 characters", "Payload: is not one valid JSON value", "Headers: is not UTF-8 at byte 0", `Headers["k"]: is not UTF-8 at byte 1`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

func TestValidateTakesWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*outbox.Event){
		"300 characters":     func(e *outbox.Event) { e.AggregateID = strings.Repeat("x", 300) },
		"non-ASCII":          func(e *outbox.Event) { e.AggregateID = strings.Repeat("é", outbox.MaxAggregateIDLength) },
		"JSON null":          func(e *outbox.Event) { e.Payload = json.RawMessage(`null`) },
		"tab and newline":    func(e *outbox.Event) { e.Type = "a\t\r\nb" },
		"escaped NUL":        func(e *outbox.Event) { e.Payload = json.RawMessage(`"\u0000"`) },
		"any header":         func(e *outbox.Event) { e.Headers = map[string]string{"": "\x00\x1b\ufffe"} },
		"replacement char":   func(e *outbox.Event) { e.Payload = json.RawMessage("\"\ufffd\"") },
		"no event id at all": func(e *outbox.Event) { e.EventID = uuid.Nil },
	} {
		e := record().Event
		change(&e)
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateBoundsTheBytesOfALane(t *testing.T) {
	t.Parallel()
	for destination, counted := range map[string]int{"": len(outbox.DefaultDestination), "destination": len("destination")} {
		e := record().Event
		e.Destination = destination
		e.AggregateType = strings.Repeat("日", outbox.MaxNameLength)
		rest := outbox.MaxLaneBytes - len(e.AggregateType) - counted
		e.AggregateID = strings.Repeat("𝄞", rest/4) + strings.Repeat("x", rest%4)
		if err := e.Validate(); err != nil {
			t.Errorf("destination %q: %v", destination, err)
		}
		e.AggregateID += "x"
		var field *outbox.FieldError
		if err := e.Validate(); !errors.As(err, &field) || field.Field != "AggregateID" || !strings.Contains(field.Problem, "2601 bytes: use at most 2600") {
			t.Errorf("destination %q, one byte more: %v", destination, err)
		}
	}
}

func TestValidateBoundsPayloadAndHeaders(t *testing.T) {
	t.Parallel()
	e := record().Event
	e.Payload = make([]byte, outbox.MaxPayloadBytes+1)
	e.Headers = map[string]string{"k": strings.Repeat("v", outbox.MaxHeaderBytes)}
	err := e.Validate()
	if err == nil || !strings.Contains(err.Error(), "Payload: has 1015809 bytes") || !strings.Contains(err.Error(), "Headers: have 8200 bytes") {
		t.Errorf("error is %v", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, headers := range map[string]map[string]string{
		"plain":  nil,
		"traced": {"traceparent": "00-01000000000000000000000000000000-0200000000000000-01"},
		"headers": {
			"traceparent": "00-01000000000000000000000000000000-0200000000000000-01", "tenant": "acme",
		},
	} {
		b.Run(name, func(b *testing.B) {
			rec := record()
			rec.Headers = headers
			rec.Payload = json.RawMessage(`{"text":"` + strings.Repeat("x", 1014) + `"}`)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := outbox.Encode(rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	e := record().Event
	e.Payload = json.RawMessage(`{"text":"` + strings.Repeat("x", 1014) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
