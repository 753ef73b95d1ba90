package fakewire_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

// FuzzJSON compares the reader with encoding/json: both take the same texts,
// and read the same string out of them.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`"a"`, `"\ud83d\ude00"`, `"\ud800x"`, `"\ud800\ud800\udc00"`, `"\u00zz"`, `[1,-0,01,1.5e+3]`, `{"a":[{}],"b":null}`, "\"\xff\"", `"\/\b"`, `nul`, `{"a":1,}`, ``,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		j := fakewire.NewJSON(in)
		err := j.Skip()
		if err == nil {
			err = j.End()
		}
		// The reader refuses deeper nesting than encoding/json does.
		if valid := json.Valid([]byte(in)); valid != (err == nil) && len(in) < 200 {
			t.Fatalf("valid is %v, the reader says %v", valid, err)
		}
		var want string
		if json.Unmarshal([]byte(in), &want) == nil && in != "" {
			j := fakewire.NewJSON(in)
			if j.Null() {
				return
			}
			got, err := j.String()
			if err != nil || got != want {
				t.Fatalf("got %q, %v; want %q", got, err, want)
			}
		}
	})
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("a\"\\\n\x00\x1f\xffé\u2028")
	f.Fuzz(func(t *testing.T, in string) {
		var out string
		if err := json.Unmarshal(fakewire.AppendJSON(nil, in), &out); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(in) && out != in {
			t.Fatalf("got %q, want %q", out, in)
		}
	})
}

func FuzzDecodeSend(f *testing.F) {
	f.Add(`{"QueueUrl":"u","Entries":[{"Id":"1","MessageBody":"b","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AA=="}},"DelaySeconds":null}]}`)
	f.Add(`{"Entries":null}`)
	f.Fuzz(func(t *testing.T, in string) {
		var want struct {
			QueueURL string `json:"QueueUrl"`
			Entries  []struct {
				MessageBody string
			}
		}
		got, err := fakewire.DecodeSend(in, true)
		if err != nil {
			return
		}
		if json.Valid([]byte(in)) == false {
			t.Fatal("decoded what is not JSON")
		}
		// encoding/json folds case and merges repeated members, so compare
		// only what it reads when the shapes agree.
		if json.Unmarshal([]byte(in), &want) == nil && len(want.Entries) == len(got.Entries) && len(got.Entries) == 1 && got.Entries[0].Body != "" {
			if want.Entries[0].MessageBody == "" {
				t.Fatalf("read a body %q that is not there", got.Entries[0].Body)
			}
		}
	})
}

func FuzzDecodePublish(f *testing.F) {
	f.Add("Action=PublishBatch&TopicArn=t&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=x")
	f.Add("PublishBatchRequestEntries.member.99999.Id=a")
	f.Add("TopicArn=%zz")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := fakewire.DecodePublish(in, true)
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
