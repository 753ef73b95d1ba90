package wire

import (
	"crypto/md5" //nolint:gosec // the checksum that SQS answers with
	"encoding/hex"
	"fmt"
	"unsafe"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
)

// Check returns an error when sum, the MD5 in hexadecimal digits that the answer has for the accepted entry id,
// is not that of the message's body. It returns nil when the client compares no checksums, and for an id that
// the request did not have. As in the SDK, one such error fails the whole call: no message of it counts as accepted.
func (x *Exchange) Check(id string, sum []byte) error {
	at, ok := batch.EntryIndex(id, len(x.Messages))
	if !x.checksums || !ok {
		return nil
	}
	body := x.Messages[at].Body
	// Read in its place: a copy for the sum was a tenth of all that a relay allocates.
	text := unsafe.Slice(unsafe.StringData(body), len(body)) //nolint:gosec // only read, and not kept
	own := md5.Sum(text)                                     //nolint:gosec // the checksum that SQS answers with
	var sent [2 * md5.Size]byte
	hex.Encode(sent[:], own[:])
	if string(sent[:]) != string(sum) {
		return fmt.Errorf("message %s: checksum: sent %s, queue has %s", id, sent, sum)
	}
	return nil
}

// checkAll checks the accepted entries for which the answer has a checksum, and returns the first error.
func (x *Exchange) checkAll(entries []Entry) error {
	for i := range entries {
		e := &entries[i]
		if !e.Accepted || e.MD5 == nil {
			continue
		}
		if err := x.Check(entryID(e.ID), e.MD5); err != nil {
			return err
		}
	}
	return nil
}
