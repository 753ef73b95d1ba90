package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of an event. The table has the same ones as CHECK constraints, for writers in other languages. They are
// chosen so that a valid event always fits into [MaxMessageBytes].
const (
	// MaxAggregateIDLength is the most characters of an aggregate id. Ids that brokers refuse in a group id
	// (long ones, spaces, non-ASCII) are hashed in the group id: see [GroupID].
	MaxAggregateIDLength = 1024
	// MaxNameLength bounds, in characters, the aggregate type, the event type and the destination.
	MaxNameLength = 256
	// MaxLaneBytes bounds the destination, the aggregate type and the aggregate id together, in bytes: an index entry
	// of PostgreSQL has at most 2,704. Only names beyond ASCII come near.
	MaxLaneBytes = 2600
	// MaxPayloadBytes bounds the payload: MaxMessageBytes less 32 KiB for the attributes.
	MaxPayloadBytes = MaxMessageBytes - 32<<10
	// MaxPayloadDepth is the most arrays and objects of a payload that are inside each other. It is below what the
	// parsers of PostgreSQL (by max_stack_depth) and of encoding/json (10,000) take. Parsers of consumers may take less.
	MaxPayloadDepth = 4000
	// MaxHeaderBytes is the most bytes that the headers may have, encoded as one JSON object. In the message they have
	// at most three times as many.
	MaxHeaderBytes = 8 << 10
)

// ErrInvalid is matched, as [errors.Is] does it, by every error that is the fault of the event itself: the same event
// will never be taken. [FieldError] says what to do about it.
var ErrInvalid = errors.New("invalid event")

// FieldError is one fault of one field of an event. [errors.Is] matches it with [ErrInvalid].
type FieldError struct {
	// Field is the name of a field of [Event], such as "AggregateID", with the key for the text of one header, such as
	// Headers["note"], or "Message" for the whole encoded message.
	Field string
	// Problem says what is wrong and what to do.
	Problem string

	code string // what Code returns: the code of the dead letter
}

// Error returns the name of the field, a colon and the problem.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Is says whether target is [ErrInvalid], for [errors.Is].
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

// Code returns the code that a dead letter has when the event is given up for this fault: InvalidEvent,
// MessageTooLong or, for text that is not UTF-8 or has a character that SQS refuses, InvalidMessageContents.
func (e *FieldError) Code() string { return e.code }

const (
	codeInvalid  = "InvalidEvent"
	codeContents = "InvalidMessageContents"
	codeTooLong  = "MessageTooLong"
)

// EventError is the error about one of several events that were given to [Enqueue] or [EnqueueCopy].
type EventError struct {
	// Index is the index of the event among those given, from 0.
	Index int
	// Err is what is wrong with that event: one [FieldError], or several that are joined.
	Err error
}

// Error returns the index of the event and the text of Err.
func (e *EventError) Error() string { return fmt.Sprintf("event %d: %s", e.Index, e.Err) }

// Unwrap returns Err.
func (e *EventError) Unwrap() error { return e.Err }

// Validate returns an error unless the event can be stored and its message has at most [MaxMessageBytes]. A lower
// limit of its destination (a topic: 256 KiB by default) is not checked: the relay makes a dead letter of an event
// above it. The error joins the faults of all fields, each a [*FieldError]; of a text or the payload it has the first
// only. An EventID and a Destination may be missing: Enqueue assigns them.
//
// The characters that a payload and the names may hold are those of the SQS SendMessage reference: #x9, #xA, #xD, #x20
// to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF, in UTF-8. Headers may hold every character. The table refuses
// the same events, whatever writes them.
func (e *Event) Validate() error {
	_, err := e.validate()
	return err
}

// validate does what Validate does, and also returns the headers as a JSON object, nil when there are none and when
// they are at fault.
func (e *Event) validate() ([]byte, error) {
	var faults []error
	add := func(err *FieldError) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	add(checkText("AggregateType", e.AggregateType, MaxNameLength, true))
	add(checkText("AggregateID", e.AggregateID, MaxAggregateIDLength, true))
	add(checkText("Type", e.Type, MaxNameLength, true))
	add(checkText("Destination", e.Destination, MaxNameLength, false))
	add(checkLane(e))
	add(checkPayload(e.Payload))
	headers, faulty := encodeHeaders(e.Headers)
	for _, fault := range faulty {
		add(fault)
	}
	return headers, errors.Join(faults...)
}

// checkLane returns a fault when the destination, the aggregate type and the aggregate id of e have more than
// MaxLaneBytes together, else nil.
func checkLane(e *Event) *FieldError {
	n := len(e.Destination) + len(e.AggregateType) + len(e.AggregateID)
	if e.Destination == "" {
		n += len(DefaultDestination)
	}
	if n <= MaxLaneBytes {
		return nil
	}
	return &FieldError{
		Field:   "AggregateID",
		Problem: fmt.Sprintf("has with the aggregate type and the destination %d bytes: use at most %d, such as a hash of it", n, MaxLaneBytes),
		code:    codeTooLong,
	}
}

// checkText returns the first fault of s, the text of the field with that name, nil when there is none. longest is
// the most characters that s may have. An empty s is a fault only when required is true.
func checkText(field, s string, longest int, required bool) *FieldError {
	if s == "" {
		if required {
			return &FieldError{Field: field, Problem: "is required: set it", code: codeInvalid}
		}
		return nil
	}
	if at := badCharacter(s); at >= 0 {
		return characterError(field, s, at)
	}
	if n := utf8.RuneCountInString(s); n > longest {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has %d characters: use at most %d", n, longest), code: codeInvalid}
	}
	return nil
}

// checkPayload returns the first fault of a payload, nil when there is none.
func checkPayload(p json.RawMessage) *FieldError {
	const field = "Payload"
	switch {
	case len(p) == 0:
		return &FieldError{Field: field, Problem: "is required: set it to one JSON value", code: codeInvalid}
	case len(p) > MaxPayloadBytes:
		return &FieldError{Field: field, Problem: fmt.Sprintf("has %d bytes: use at most %d, or store it elsewhere and send a reference", len(p), MaxPayloadBytes), code: codeTooLong}
	case tooDeep(p):
		return &FieldError{Field: field, Problem: fmt.Sprintf("is nested more than %d levels deep: many parsers refuse that", MaxPayloadDepth), code: codeInvalid}
	case !json.Valid(p):
		return &FieldError{Field: field, Problem: "is not one valid JSON value: marshal it with encoding/json", code: codeInvalid}
	}
	text := string(p)
	if at := badCharacter(text); at >= 0 {
		return characterError(field, text, at)
	}
	return nil
}

// tooDeep says whether more than MaxPayloadDepth arrays and objects of a JSON text are inside each other. Of a text that
// is not JSON the answer means nothing.
func tooDeep(p json.RawMessage) bool {
	if bytes.Count(p, []byte{'['})+bytes.Count(p, []byte{'{'}) <= MaxPayloadDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			inString = !inString
		case inString:
			if c == '\\' {
				i++
			}
		case c == '[' || c == '{':
			if depth++; depth > MaxPayloadDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// encodeHeaders returns headers as a JSON object with sorted keys, nil when there are none. When they are at fault it
// returns nil and their faults instead. Every character is allowed: in the message they are percent-encoded.
func encodeHeaders(headers map[string]string) ([]byte, []*FieldError) {
	if len(headers) == 0 {
		return nil, nil
	}
	var faults []*FieldError
	for k, v := range headers {
		if at := badByte(k); at >= 0 {
			faults = append(faults, characterError("Headers", k, at))
		}
		if at := badByte(v); at >= 0 {
			faults = append(faults, characterError(fmt.Sprintf("Headers[%q]", k), v, at))
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	text := marshalHeaders(headers)
	if len(text) > MaxHeaderBytes {
		return nil, []*FieldError{{Field: "Headers", Problem: fmt.Sprintf("have %d bytes as JSON: use at most %d", len(text), MaxHeaderBytes), code: codeTooLong}}
	}
	return text, nil
}

// marshalHeaders returns headers as a JSON object with sorted keys, in which <, > and & are not escaped, to keep it
// short.
func marshalHeaders(headers map[string]string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A map of strings always marshals.
	_ = enc.Encode(headers)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// characterError returns the fault of the field with the text s for the refused character that begins at byte at of s.
func characterError(field, s string, at int) *FieldError {
	r, size := utf8.DecodeRuneInString(s[at:])
	problem := fmt.Sprintf("has the character %U at byte %d, which SQS refuses: remove it or encode the value as base64", r, at)
	if r == utf8.RuneError && size <= 1 {
		problem = fmt.Sprintf("is not UTF-8 at byte %d: convert it or encode it as base64", at)
	}
	return &FieldError{Field: field, Problem: problem, code: codeContents}
}

// badByte returns the index of the first byte of s that is not UTF-8, -1 when there is none.
func badByte(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			return i
		}
	}
	return -1
}

// badCharacter returns the index of the first byte of s that is not UTF-8 or begins a character that no message may
// have. It returns -1 when there is none.
func badCharacter(s string) int {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
			return i
		}
		i += size
	}
	return -1
}
