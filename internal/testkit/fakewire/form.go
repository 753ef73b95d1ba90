package fakewire

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// ErrForm is returned for a form that cannot be read.
var ErrForm = errors.New("malformed form")

// maxIndex bounds the lists of a form, so that member.999999999 costs nothing.
const maxIndex = 100

// eachField calls field for every field of a form-encoded body, in order.
func eachField(body string, field func(key, value string) error) error {
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := unescape(k)
		if err != nil {
			return err
		}
		value, err := unescape(v)
		if err != nil {
			return err
		}
		if err := field(key, value); err != nil {
			return err
		}
	}
	return nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	out, err := url.QueryUnescape(s)
	if err != nil {
		return "", ErrForm
	}
	return out, nil
}

// DecodePublish reads the body of Publish and PublishBatch.
func DecodePublish(body string, batch bool) (Batch, error) {
	var b Batch
	if !batch {
		b.Entries = make([]BatchEntry, 1)
	}
	err := eachField(body, func(key, value string) error {
		rest, ok := strings.CutPrefix(key, "PublishBatchRequestEntries.member.")
		switch {
		case key == "TopicArn":
			b.Resource = value
		case key == "TargetArn" && b.Resource == "":
			b.Resource = value
		case batch && ok:
			i, member, err := index(rest)
			if err != nil {
				return err
			}
			for len(b.Entries) <= i {
				b.Entries = append(b.Entries, BatchEntry{})
			}
			return publishMember(&b.Entries[i], member, value)
		case !batch:
			return publishMember(&b.Entries[0], key, value)
		}
		return nil
	})
	for i := range b.Entries {
		sortAttributes(b.Entries[i].Attributes)
	}
	return b, err
}

// index splits "3.Name" into 2 and "Name".
func index(s string) (int, string, error) {
	digits, rest, _ := strings.Cut(s, ".")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > maxIndex {
		return 0, "", ErrForm
	}
	return n - 1, rest, nil
}

func publishMember(e *BatchEntry, member, value string) error {
	switch member {
	case "Id":
		e.ID = value
	case "Message":
		e.Body = value
	case "MessageGroupId":
		e.GroupID = value
	case "MessageDeduplicationId":
		e.DedupID = value
	case "Subject":
		e.Subject = value
	case "MessageStructure":
		e.Structure = value
	}
	rest, ok := strings.CutPrefix(member, "MessageAttributes.entry.")
	if !ok {
		return nil
	}
	i, field, err := index(rest)
	if err != nil {
		return err
	}
	for len(e.Attributes) <= i {
		e.Attributes = append(e.Attributes, fakebroker.Attribute{})
	}
	a := &e.Attributes[i]
	switch field {
	case "Name":
		a.Name = value
	case "Value.DataType":
		a.Type = value
	case "Value.StringValue":
		a.Value = value
	case "Value.BinaryValue":
		if a.Binary, err = base64.StdEncoding.DecodeString(value); err != nil {
			return ErrForm
		}
	}
	return nil
}

// Form is a form-encoded request of any other operation.
type Form map[string]string

// DecodeForm reads a form-encoded body.
func DecodeForm(body string) (Form, error) {
	f := Form{}
	err := eachField(body, func(key, value string) error {
		f[key] = value
		return nil
	})
	return f, err
}

// Map returns the map under name, whose members are prefix.N.key and
// prefix.N.value (or with a capital letter, as tags have).
func (f Form) Map(prefix, key, value string) map[string]string {
	out := map[string]string{}
	for i := 1; i <= maxIndex; i++ {
		at := prefix + "." + strconv.Itoa(i) + "."
		k, ok := f[at+key]
		if !ok {
			break
		}
		out[k] = f[at+value]
	}
	return out
}

// List returns the values of prefix.N.
func (f Form) List(prefix string) []string {
	var out []string
	for i := 1; i <= maxIndex; i++ {
		v, ok := f[prefix+"."+strconv.Itoa(i)]
		if !ok {
			break
		}
		out = append(out, v)
	}
	return out
}

// PeekAction finds the action of a Query request without decoding the rest.
func PeekAction(body string) string {
	for rest := body; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if v, ok := strings.CutPrefix(pair, "Action="); ok {
			return v
		}
	}
	return ""
}
