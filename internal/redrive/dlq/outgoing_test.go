package dlq_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const someID = "018f3d5e-7a4b-7c2d-8e9f-0a1b2c3d4e5f"

func text(name, value string) dlq.Attribute {
	return dlq.Attribute{Name: name, Type: "String", Value: value}
}

func TestDeduplicationIDs(t *testing.T) {
	t.Parallel()
	ours := dlq.Received{MessageID: "m1", DeduplicationID: "m0", Attributes: []dlq.Attribute{text("event_id", someID)}}
	first := dlq.DeduplicationID(&ours)
	if !regexp.MustCompile(`^` + someID + `#d1\.[0-9a-f]{12}$`).MatchString(first) {
		t.Errorf("id %q", first)
	}
	if again := dlq.DeduplicationID(&ours); again != first {
		t.Errorf("%q, then %q", first, again)
	}
	other := ours
	other.MessageID = "m2"
	if dlq.DeduplicationID(&other) == first {
		t.Error("two copies share an id")
	}
	second := ours
	second.Attributes = []dlq.Attribute{text("event_id", someID), text("redrives", "1")}
	if id := dlq.DeduplicationID(&second); !strings.HasPrefix(id, someID+"#d2.") {
		t.Errorf("id %q", id)
	}
	for _, c := range []struct {
		dead dlq.Received
		want string
	}{
		{dlq.Received{MessageID: "m", DeduplicationID: "theirs"}, "theirs#d1."},
		{dlq.Received{MessageID: "m"}, "m#d1."},
		{dlq.Received{MessageID: "m", DeduplicationID: "theirs", Attributes: []dlq.Attribute{text("event_id", "no uuid"), text("redrives", "-3")}}, "theirs#d1."},
		// Where the queue keeps the id, ours does not pile up.
		{dlq.Received{MessageID: "m", DeduplicationID: "theirs#d1.0123456789ab", Attributes: []dlq.Attribute{text("redrives", "1")}}, "theirs#d2."},
		{dlq.Received{MessageID: "m", Body: `{"Type":"Notification","TopicArn":"t","Message":"x","MessageAttributes":{"event_id":{"Type":"String","Value":"` + someID + `"}}}`}, someID + "#d1."},
	} {
		if id := dlq.DeduplicationID(&c.dead); !strings.HasPrefix(id, c.want) || len(id) != len(c.want)+12 {
			t.Errorf("id %q, want %s and a hash", id, c.want)
		}
	}
	long := dlq.Received{MessageID: "m", DeduplicationID: strings.Repeat("x", 128)}
	if id := dlq.DeduplicationID(&long); len(id) > 128 || strings.HasPrefix(id, "xx") {
		t.Errorf("id %q", id)
	}
}

func TestTheCountGivesWayToASizeLimit(t *testing.T) {
	t.Parallel()
	d := dlq.Received{MessageID: "m", GroupID: "g", Body: strings.Repeat("x", 95)}
	for limit, want := range map[int]int{95: 0, 109: 0, 110: 1} { // redrives, String and 1 are 15 bytes
		m, refused := dlq.Back(&dlq.Route{}, &d, limit)
		if refused != "" || len(m.Attributes) != want || m.Size() > limit {
			t.Errorf("limit %d: %+v %s", limit, m.Attributes, refused)
		}
	}
	if _, refused := dlq.Back(&dlq.Route{}, &dlq.Received{MessageID: "m", Body: "x"}, 1000); refused != "NoGroup" {
		t.Errorf("refused %q", refused)
	}
}

// Whatever is in a message, the id that it goes back under is one that a queue
// takes, does not depend on the receive, and is no id of the relay's. The
// attributes never pile up.
func FuzzBack(f *testing.F) {
	f.Add("m", "d", "body", "event_id", someID, 3)
	f.Add("m", someID+"#r2", `{"Type":"Notification","TopicArn":"t","Message":"x","MessageAttributes":{"a":{"Type":"Binary","Value":"!"}}}`, "redrives", "2", 10)
	f.Add("m", strings.Repeat("x", 128), "{", "redrives", "999999999999", 0)
	f.Fuzz(func(t *testing.T, messageID, dedup, body, name, value string, more int) {
		d := dlq.Received{MessageID: messageID, GroupID: "g", DeduplicationID: dedup, Body: body, Attributes: []dlq.Attribute{text(name, value)}}
		for i := range more % 10 {
			d.Attributes = append(d.Attributes, text(fmt.Sprintf("more%d", i), "v"))
		}
		for _, route := range []dlq.Route{{}, {Subscriptions: []dlq.Subscription{{TopicARN: "t", Raw: true}}}, {Subscriptions: []dlq.Subscription{{TopicARN: "t"}}}} {
			m, refused := dlq.Back(&route, &d, 1<<20)
			if refused != "" {
				continue
			}
			again := d
			again.Receipt = "another"
			if twice, _ := dlq.Back(&route, &again, 1<<20); twice.DeduplicationID != m.DeduplicationID || twice.Body != m.Body {
				t.Fatalf("%+v, then %+v", m, twice)
			}
			if !regexp.MustCompile(`#d[0-9]+\.[0-9a-f]{12}$`).MatchString(m.DeduplicationID) || len(dedup) <= 128 && len(messageID) <= 128 && len(m.DeduplicationID) > 128 {
				t.Fatalf("id %q", m.DeduplicationID)
			}
			counts := 0
			for _, a := range m.Attributes {
				if a.Name == outbox.AttributeRedrives {
					counts++
				}
			}
			if counts > 1 || len(m.Attributes) > len(d.Attributes)+1 && m.Body == d.Body {
				t.Fatalf("attributes %+v", m.Attributes)
			}
		}
	})
}
