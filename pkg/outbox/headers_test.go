package outbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// attributesOf returns the attributes of a message with these headers that not every message has, as name=value.
func attributesOf(t *testing.T, c outbox.Encoder, headers map[string]string) []string {
	t.Helper()
	rec := record()
	rec.Headers = headers
	m, err := c.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(m.Attributes, func(a, b outbox.Attribute) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("attributes are not sorted: %v", m.Attributes)
	}
	if m.Size != recomputed(m) {
		t.Errorf("size is %d, want %d", m.Size, recomputed(m))
	}
	var got []string
	for _, a := range m.Attributes {
		if !slices.Contains([]string{"aggregate_id", "aggregate_type", "created_at", "event_id", "event_type", "sequence"}, a.Name) {
			got = append(got, a.Name+"="+a.Value)
		}
	}
	return got
}

func TestHeadersAreOneFormOfPlainCharacters(t *testing.T) {
	t.Parallel()
	got := attributesOf(t, outbox.Encoder{}, map[string]string{
		"b": `"quoted" \ + 100%`, "a.b-c_d~e": "0aZ", "é&=": "\x00\x1b\ufffe", "": "",
	})
	want := []string{"headers==&a.b-c_d~e=0aZ&b=%22quoted%22%20%5C%20%2B%20100%25&%C3%A9%26%3D=%00%1B%EF%BF%BE"}
	if !slices.Equal(got, want) {
		t.Errorf("attributes are %q, want %q", got, want)
	}
}

func TestChosenHeadersAreAttributesOfTheirOwn(t *testing.T) {
	t.Parallel()
	headers := map[string]string{"traceparent": "00-ab-cd-01", "tenant": "acmé \"1\"", "region": "eu"}
	for name, c := range map[string]struct {
		chosen  []string
		headers map[string]string
		want    []string
	}{
		"by default the trace": {nil, headers, []string{"headers=region=eu&tenant=acm%C3%A9%20%221%22", "traceparent=00-ab-cd-01"}},
		"none":                 {[]string{}, headers, []string{"headers=region=eu&tenant=acm%C3%A9%20%221%22&traceparent=00-ab-cd-01"}},
		"two":                  {[]string{"traceparent", "region"}, headers, []string{"headers=tenant=acm%C3%A9%20%221%22", "region=eu", "traceparent=00-ab-cd-01"}},
		"all there are":        {[]string{"tenant"}, map[string]string{"tenant": "x"}, []string{"tenant=x"}},
		"one that is missing":  {[]string{"tenant", "x"}, map[string]string{"x": "1"}, []string{"x=1"}},
		// Brokers refuse these as attributes. The event goes out in any case.
		"a value with a control character": {[]string{"tenant"}, map[string]string{"tenant": "a\x1b"}, []string{"headers=tenant=a%1B"}},
		"an empty value":                   {[]string{"tenant"}, map[string]string{"tenant": ""}, []string{"headers=tenant="}},
	} {
		if got := attributesOf(t, outbox.Encoder{HeaderAttributes: c.chosen}, c.headers); !slices.Equal(got, c.want) {
			t.Errorf("%s: attributes are %q, want %q", name, got, c.want)
		}
	}
}

func TestMessagesKeepToTheTenAttributes(t *testing.T) {
	t.Parallel()
	c := outbox.Encoder{HeaderAttributes: []string{"traceparent", "tenant"}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	rec := record()
	rec.Replays, rec.ReplayOf = 1, 77
	rec.Headers = map[string]string{"traceparent": "00-ab-cd-01", "tenant": "x", "other": "y"}
	if m, err := c.Encode(rec); err != nil || len(m.Attributes) != outbox.MaxAttributes {
		t.Errorf("%d attributes and error %v, want %d", len(m.Attributes), err, outbox.MaxAttributes)
	}
}

func TestHeaderAttributesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"a", "b", "c"}, "3 names: choose at most 2"},
		{[]string{"event_id"}, `"event_id" is the name of another attribute`},
		{[]string{"Headers"}, `"Headers" is the name of another attribute`},
		{[]string{"redrives"}, `"redrives" is the name of another attribute`},
		{[]string{"outbox-replay"}, `"outbox-replay" is the name of another attribute`},
		{[]string{"a", "a"}, `"a" is named twice`},
		{[]string{""}, `"" cannot be the name of an attribute`},
		{[]string{"tenant id"}, `"tenant id" cannot be the name`},
		{[]string{"a..b"}, `"a..b" cannot be the name`},
		{[]string{".a"}, `".a" cannot be the name`},
		{[]string{"AWS.a"}, `"AWS.a" cannot be the name`},
		{[]string{"amazon.a"}, `"amazon.a" cannot be the name`},
		{[]string{strings.Repeat("a", 257)}, "cannot be the name"},
	} {
		err := outbox.Encoder{HeaderAttributes: c.names}.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error is %v, want one with %q", c.names, err, c.want)
		}
	}
	for _, names := range [][]string{nil, {}, {"tenant", "X-Request.id_2"}, {"traceparent"}} {
		if err := (outbox.Encoder{HeaderAttributes: names}).Validate(); err != nil {
			t.Errorf("%q: %v", names, err)
		}
	}
}
