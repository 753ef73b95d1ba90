package fakewire

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// ErrForm means that a form, or a list, index or binary value in it, cannot be read.
var ErrForm = errors.New("malformed form")

// maxIndex is the highest index of a list in a form, so that member.999999999 costs no memory.
const maxIndex = 100

// Form is a request of the Query protocol: its fields by name, the first when a name is there more than once.
type Form map[string]string

// DecodeForm reads a form-encoded body. It returns ErrForm when the body cannot be read.
func DecodeForm(body string) (Form, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, ErrForm
	}
	f := make(Form, len(values))
	for key := range values {
		f[key] = values.Get(key)
	}
	return f, nil
}

// DecodePublish reads the parameters of PublishBatch when batch is set, and of Publish otherwise: one entry without an
// id. Other parameters are ignored. It returns ErrForm for an index or binary value that cannot be read.
func DecodePublish(f Form, batch bool) (Batch, error) {
	b := Batch{Resource: cmp.Or(f["TopicArn"], f["TargetArn"])}
	if !batch {
		b.Entries = make([]BatchEntry, 1)
	}
	for key, value := range f {
		i, member := 0, key
		if batch {
			rest, ok := strings.CutPrefix(key, "PublishBatchRequestEntries.member.")
			if !ok {
				continue
			}
			var err error
			if i, member, err = index(rest); err != nil {
				return b, err
			}
		}
		for len(b.Entries) <= i {
			b.Entries = append(b.Entries, BatchEntry{})
		}
		if err := publishMember(&b.Entries[i], member, value); err != nil {
			return b, err
		}
	}
	for i := range b.Entries {
		sortAttributes(b.Entries[i].Attributes)
	}
	return b, nil
}

// index splits "3.Name" into 2, the index from 0, and "Name". It returns ErrForm for a number that is not in 1 to
// maxIndex.
func index(s string) (int, string, error) {
	digits, rest, _ := strings.Cut(s, ".")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > maxIndex {
		return 0, "", ErrForm
	}
	return n - 1, rest, nil
}

// publishMember puts the value of one parameter, whose name is member, into e. It ignores unknown names, and fails
// with ErrForm for an attribute with a bad number or with binary data that is not base64.
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

// Map returns the map whose members are the fields prefix.N.key and prefix.N.value, for N from 1 up to the first that
// is missing, at most maxIndex: key and value are the names that the operation uses, such as "key" or "Key".
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

// List returns the fields prefix.N, for N from 1 up to the first that is missing, at most maxIndex.
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
