package redrive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Parse reads a request from one JSON object, validates it and sets an empty Action to ActionRedrive. Its error
// names every fault at once: unknown fields, fields that come twice, empty texts and lists, values of the wrong type,
// a limit or a rate of zero, and what Validate finds. A field that is null counts as not set.
func Parse(data []byte) (Request, error) {
	fields, err := members(data)
	if err != nil {
		return Request{}, fmt.Errorf("request:\n%w", err)
	}
	var r Request
	var f faults
	seen := make(map[string]bool, len(fields))
	for _, m := range fields {
		if seen[m.name] {
			f.add(m.name, "comes twice")
			continue
		}
		seen[m.name] = true
		if string(m.value) == "null" {
			continue
		}
		r.set(&f, m.name, m.value)
	}
	// A field that could not be read is zero now, which is no further fault of the request.
	further := slices.DeleteFunc(r.faults(), func(fault *FieldError) bool { return f.names(fault.Field) })
	if err := append(f, further...).join(); err != nil {
		return Request{}, err
	}
	return r.Defaults(), nil
}

// set decodes value into the field that has that name in JSON, and adds to f what is wrong with the value, or
// that there is no such field. A field whose value cannot be decoded becomes zero.
func (r *Request) set(f *faults, name string, value json.RawMessage) {
	for _, text := range r.texts() {
		if text.name == name {
			*text.value = f.text(name, value)
			return
		}
	}
	switch name {
	case "action":
		r.Action = Action(f.text(name, value))
	case "source":
		r.Source = Source(f.text(name, value))
	case "event_ids":
		r.EventIDs = f.ids(name, value)
	case "from":
		r.From = f.time(name, value)
	case "to":
		r.To = f.time(name, value)
	case "id_from":
		r.IDFrom = f.integer(name, value)
	case "id_to":
		r.IDTo = f.integer(name, value)
	case "limit":
		n := f.integer(name, value)
		if n == 0 && !f.names(name) {
			f.add(name, "is zero: leave it out for no limit, or use `dry_run` to bring nothing back")
		}
		r.Limit = int(min(n, math.MaxInt))
	case "rate":
		switch {
		case json.Unmarshal(value, &r.Rate) != nil:
			f.add(name, "is not a number")
		case r.Rate == 0:
			f.add(name, "is zero: leave it out for no limit")
		}
	case "dry_run":
		r.DryRun = f.flag(name, value)
	case "confirm":
		r.Confirm = f.flag(name, value)
	case "interleave":
		r.Interleave = f.flag(name, value)
	default:
		f.add(name, "is not a field of a request: the fields are %s", strings.Join(fieldNames(), ", "))
	}
}

// fieldNames returns the JSON names of the fields of [Request], in their order.
func fieldNames() []string {
	var names []string
	for f := range reflect.TypeFor[Request]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// text decodes a string. When the value is empty or no string, it adds a fault of the field name and returns "".
func (f *faults) text(name string, value json.RawMessage) string {
	var s string
	switch {
	case json.Unmarshal(value, &s) != nil:
		f.add(name, "is not a string")
	case s == "":
		// An empty filter would pass every event: a script with an empty variable must not bring everything back.
		f.add(name, "is empty: leave it out, or say what is meant")
	}
	return s
}

// flag decodes a boolean. When the value is not one, it adds a fault of the field name to f and returns false; null, which
// Parse skips, is false without a fault.
func (f *faults) flag(name string, value json.RawMessage) bool {
	var b bool
	if json.Unmarshal(value, &b) != nil {
		f.add(name, "is neither true nor false")
	}
	return b
}

// integer decodes a whole number of 64 bits. When the value is not one, it adds a fault of the field name and returns 0.
func (f *faults) integer(name string, value json.RawMessage) int64 {
	var n int64
	if json.Unmarshal(value, &n) != nil {
		f.add(name, "is not a whole number of 64 bits")
	}
	return n
}

// time decodes a time in the form of RFC 3339. When the value is none, or is the zero time, it adds a fault of
// the field name to f and returns the zero time.
func (f *faults) time(name string, value json.RawMessage) time.Time {
	s := f.text(name, value)
	if f.names(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.IsZero() {
		f.add(name, "%q is not a time such as 2026-11-23T18:00:00Z", s)
		return time.Time{}
	}
	return t
}

// ids decodes a list of UUIDs of 36 characters. It adds to f a fault of the field name for each text that is
// none, which the result leaves out, for an empty list, and for a value that is no list of strings.
func (f *faults) ids(name string, value json.RawMessage) []uuid.UUID {
	var texts []string
	if json.Unmarshal(value, &texts) != nil {
		f.add(name, "is not a list of strings")
		return nil
	}
	ids := make([]uuid.UUID, 0, len(texts))
	for _, s := range texts {
		id, err := uuid.Parse(s)
		if err != nil || len(s) != 36 {
			f.add(name, "%q is not a UUID", s)
			continue
		}
		ids = append(ids, id)
	}
	if len(texts) == 0 {
		f.add(name, "is an empty list: leave it out, or name what to bring back")
	}
	return ids
}

// member is a field of a JSON object: its name, and its value, not decoded yet.
type member struct {
	name  string
	value json.RawMessage
}

// errNotObject is the error of members for data that is not exactly one JSON object.
var errNotObject = errors.New("is not one JSON object")

// members returns the fields of a JSON object in their order, repeated ones included. Data that is anything else,
// or has more after the object, is errNotObject. Decoding into a struct would not do: it drops a field that comes
// twice, and it ignores upper and lower case in names.
func members(data []byte) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if t, err := decoder.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	var all []member
	for decoder.More() {
		t, err := decoder.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		m := member{name: strings.ToValidUTF8(name, "?")}
		if err = decoder.Decode(&m.value); err != nil {
			return nil, errNotObject
		}
		all = append(all, m)
	}
	if t, err := decoder.Token(); err != nil || t != json.Delim('}') {
		return nil, errNotObject
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotObject
	}
	return all, nil
}
