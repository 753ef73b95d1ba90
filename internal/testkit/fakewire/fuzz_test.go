package fakewire_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

func FuzzDecodeSend(f *testing.F) {
	f.Add(`{"QueueUrl":"u","Entries":[{"Id":"1","MessageBody":"b","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AA=="}},"DelaySeconds":null}]}`)
	f.Add(`{"Entries":null}`)
	f.Fuzz(func(t *testing.T, in string) {
		got, err := fakewire.DecodeSend(in, true)
		if err != nil {
			return
		}
		if !json.Valid([]byte(in)) {
			t.Fatal("decoded what is not JSON")
		}
		for i := range got.Entries {
			for k, a := range got.Entries[i].Attributes {
				if k > 0 && got.Entries[i].Attributes[k-1].Name >= a.Name {
					t.Fatalf("attribute %q does not follow %q", a.Name, got.Entries[i].Attributes[k-1].Name)
				}
			}
		}
		one, err := fakewire.DecodeSend(in, false)
		if err != nil || len(one.Entries) != 1 || one.Resource != got.Resource {
			t.Fatalf("as one message: %+v, %v", one, err)
		}
	})
}

func FuzzDecodePublish(f *testing.F) {
	f.Add("Action=PublishBatch&TopicArn=t&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=x")
	f.Add("PublishBatchRequestEntries.member.99999.Id=a")
	f.Add("TopicArn=%zz")
	f.Fuzz(func(t *testing.T, in string) {
		form, err := fakewire.DecodeForm(in)
		if err != nil {
			return
		}
		got, err := fakewire.DecodePublish(form, true)
		if err != nil {
			return
		}
		if len(got.Entries) > 100 {
			t.Fatalf("%d entries", len(got.Entries))
		}
		want, err := url.ParseQuery(in)
		if err != nil {
			return
		}
		if list := want["TopicArn"]; len(list) == 1 && got.Resource != list[0] && len(want["TargetArn"]) == 0 {
			t.Fatalf("topic %q, want %q", got.Resource, list[0])
		}
	})
}
