package wire

const upperHex = "0123456789ABCDEF"

// plainForm says which bytes stand for themselves in a form: the unreserved
// characters of RFC 3986.
//
//nolint:gochecknoglobals // a table, never written
var plainForm = func() (table [256]bool) {
	for c := range table {
		b := byte(c)
		table[c] = b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' ||
			b == '-' || b == '_' || b == '.' || b == '~'
	}
	return table
}()

// AppendForm returns dst with s appended in the form encoding (application/x-www-form-urlencoded), as
// url.QueryEscape of net/url encodes it.
func AppendForm(dst []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		c := s[i]
		if plainForm[c] {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if c == ' ' {
			dst = append(dst, '+')
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xF])
		}
	}
	return append(dst, s[from:]...)
}
