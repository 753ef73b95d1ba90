package fakebroker

import (
	"strings"
	"unicode/utf8"
)

// Limits of one request, from the SQS and SNS quota pages: entries of a batch, attributes of a message at a queue,
// bytes of a message at a queue and by default at a topic, and bytes of ids and attribute names and types.
const (
	MaxEntries      = 10
	MaxAttributes   = 10
	MaxQueueBytes   = 1 << 20
	MaxTopicBytes   = 256 << 10
	maxIdentifier   = 128
	maxEntryID      = 80
	maxAttributeLen = 256
)

// validIdentifier reports whether s may be a group id, a deduplication id or the attempt id of a receive: 1 to 128
// ASCII letters, digits and punctuation.
func validIdentifier(s string) bool {
	notAllowed := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return s != "" && len(s) <= maxIdentifier && !strings.ContainsFunc(s, notAllowed)
}

// ValidEntryID reports whether s may name an entry of a batch: 1 to 80 ASCII letters, digits, hyphens and underscores.
func ValidEntryID(s string) bool {
	return s != "" && len(s) <= maxEntryID && onlyNameChars(s)
}

// onlyNameChars reports whether s has nothing but ASCII letters, digits, hyphens and underscores, and true when empty.
func onlyNameChars(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// validName reports whether s may name a queue (longest 80) or a topic (longest 256). With fifo the name must end in
// .fifo, without it must not.
func validName(s string, fifo bool, longest int) bool {
	if len(s) > longest {
		return false
	}
	if fifo {
		var ok bool
		if s, ok = strings.CutSuffix(s, ".fifo"); !ok {
			return false
		}
	}
	return s != "" && onlyNameChars(s)
}

// validContents reports whether SQS takes s as a body or as the value of an attribute: #x9 | #xA | #xD | #x20 to
// #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
func validContents(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	})
}

// attributeProblem says what is wrong with a's name or type, "" when nothing is.
func attributeProblem(a *Attribute) string {
	base, label, _ := strings.Cut(a.Type, ".")
	switch {
	case a.Name == "":
		return "must have a non-empty name"
	case len(a.Name) > maxAttributeLen:
		return "has a name longer than 256"
	case !onlyNameChars(strings.ReplaceAll(a.Name, ".", "")), strings.HasPrefix(a.Name, "."),
		strings.HasSuffix(a.Name, "."), strings.Contains(a.Name, ".."):
		return "has a name with characters that are not allowed"
	case reservedPrefix(a.Name):
		return "has a name that starts with a reserved prefix"
	case a.Type == "":
		return "must contain non-empty message attribute type"
	case base != "String" && base != "Number" && base != "Binary":
		return "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String"
	case len(a.Type) > maxAttributeLen || strings.HasSuffix(a.Type, ".") || label == "" && strings.Contains(a.Type, "."):
		return "has a bad type label"
	}
	return ""
}

// reservedPrefix reports whether an attribute's name begins with "aws." or "amazon.", in any case.
func reservedPrefix(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.")
}

// empty reports whether the attribute has no value.
func (a *Attribute) empty() bool {
	if a.isBinary() {
		return len(a.Binary) == 0
	}
	return a.Value == ""
}
