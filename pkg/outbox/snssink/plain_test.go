package snssink

import (
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
)

func TestAnswersInThePlainFormAreNotLeftToTheSDK(t *testing.T) {
	t.Parallel()
	const good = `<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult>` +
		`<Failed><member><Id>1</Id><Code>c</Code><Message>a b</Message><SenderFault>true</SenderFault></member></Failed>` +
		`<Successful><member><Id>0</Id><MessageId>m</MessageId><SequenceNumber>1</SequenceNumber></member></Successful>` +
		`</PublishBatchResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishBatchResponse>`
	for name, c := range map[string]struct {
		body  string
		plain bool
	}{
		"as SNS writes it":     {good, true},
		"with a prolog":        {`<?xml version="1.0" encoding="UTF-8"?>` + good, true},
		"with space":           {strings.ReplaceAll(good, "><", ">\n  <"), true},
		"an entity":            {strings.Replace(good, "a b", "a &amp; b", 1), false},
		"an unknown element":   {strings.Replace(good, "<Id>", "<New/><Id>", 1), false},
		"one id twice":         {strings.Replace(good, "<Id>1", "<Id>0", 1), true},
		"cut":                  {good[:len(good)-3], false},
		"with a tail":          {good + "<a/>", false},
		"not what was asked":   {`<a/>`, false},
		"a member that is not": {strings.Replace(good, "<SenderFault>true", "<SenderFault>yes", 1), false},
	} {
		var entries wire.Entries
		if plain := new(codec).ReadAnswer([]byte(c.body), &entries); plain != c.plain {
			t.Errorf("%s: plain %v", name, plain)
		} else if plain && len(entries.All()) != 2 {
			t.Errorf("%s: %d entries", name, len(entries.All()))
		}
	}
}
