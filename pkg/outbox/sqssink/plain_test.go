package sqssink

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
)

func TestAnswersInThePlainFormAreNotLeftToTheSDK(t *testing.T) {
	t.Parallel()
	const success = `{"Id":"0","MessageId":"m","MD5OfMessageBody":"d","MD5OfMessageAttributes":"e","SequenceNumber":"1"}`
	const failure = `{"Id":"1","Code":"c","Message":"a b","SenderFault":true}`
	for name, c := range map[string]struct {
		body  string
		plain bool
	}{
		"as SQS writes it":        {`{"Failed":[],"Successful":[` + success + `]}`, true},
		"without failures":        {`{"Successful":[` + success + `]}`, true},
		"with failures and space": {"{\n \"Failed\" : [" + failure + "], \"Successful\": [ " + success + " ]\n}\n", true},
		"an unknown member":       {`{"Successful":[{"Id":"0","New":"x"}]}`, false},
		"an escaped character":    {`{"Successful":[{"Id":"\u0030"}]}`, false},
		"not ASCII":               {`{"Failed":[{"Id":"0","Message":"é"}]}`, false},
		"null":                    {`{"Successful":null}`, false},
		"one id twice":            {`{"Successful":[` + success + `,` + success + `]}`, true},
		"cut":                     {`{"Successful":[` + success, false},
		"with a tail":             {`{"Successful":[` + success + `]}]`, false},
	} {
		var entries wire.Entries
		if plain := new(codec).ReadAnswer([]byte(c.body), &entries); plain != c.plain {
			t.Errorf("%s: plain %v", name, plain)
		} else if plain && len(entries.All()) == 0 {
			t.Errorf("%s: no entries", name)
		}
	}
}
