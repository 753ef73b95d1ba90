package fakewire

import (
	"bytes"
	"encoding/xml"
	"maps"
	"slices"
	"strings"
)

// AppendElement appends <name>text</name>, with text escaped, to dst and returns the result.
func AppendElement(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	if strings.IndexFunc(text, needsEscape) < 0 {
		dst = append(dst, text...)
	} else {
		var buf bytes.Buffer
		if xml.EscapeText(&buf, []byte(text)) == nil {
			dst = append(dst, buf.Bytes()...)
		}
	}
	return append(append(append(dst, '<', '/'), name...), '>')
}

// needsEscape reports whether text with r goes through the escaping of encoding/xml.
func needsEscape(r rune) bool {
	return r < ' ' || r > '~' || r == '<' || r == '>' || r == '&' || r == '"' || r == '\''
}

// AppendMap appends <name> with an <entry> of <key> and <value> for each member of m, in the order of the keys, to dst
// and returns the result.
func AppendMap(dst []byte, name string, m map[string]string) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = append(dst, `<entry>`...)
		dst = AppendElement(AppendElement(dst, "key", k), "value", m[k])
		dst = append(dst, `</entry>`...)
	}
	return append(append(append(dst, '<', '/'), name...), '>')
}
