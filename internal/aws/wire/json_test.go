package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
)

func FuzzAppendJSON(f *testing.F) {
	for _, seed := range []string{"", "plain text of more than eight bytes", `a"b\c`, "\x00\x1f\x7f\x80", "é\u2028\ufffd", strings.Repeat("x", 16) + "\n", "1234567\"", "\xff\xfe12345678", "\x80\xa8\xef"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(wire.AppendJSON(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", wire.AppendJSON(nil, s), err)
		}
		// Each byte that is not UTF-8 becomes U+FFFD.
		if want := string([]rune(s)); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
	})
}

// Each byte at each place of a word and behind one.
func TestAppendJSONOfEveryByte(t *testing.T) {
	t.Parallel()
	for c := range 128 {
		for at := range 17 {
			s := strings.Repeat("~", at) + string(rune(c)) + strings.Repeat(" ", 17-at)
			var got string
			if err := json.Unmarshal(wire.AppendJSON(nil, s), &got); err != nil || got != s {
				t.Fatalf("%q became %q: %v", s, got, err)
			}
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	s := `{"order_id":17,"note":"` + strings.Repeat("payload ", 58) + `"}`
	var dst []byte
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		dst = wire.AppendJSON(dst[:0], s)
	}
}
