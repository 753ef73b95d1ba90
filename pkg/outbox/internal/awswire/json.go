package awswire

import (
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plainJSON says which ASCII characters stand for themselves in a JSON string.
//
//nolint:gochecknoglobals // a table, never written
var plainJSON = func() (table [utf8.RuneSelf]bool) {
	for c := range table {
		table[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return table
}()

// AppendJSON appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as they do in the SDK.
func AppendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plainJSON[c] {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[from:i]...), `\ufffd`...)
			from = i + 1
		}
		i += size
	}
	return append(append(dst, s[from:]...), '"')
}
