package fakebroker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// filter is a subscription's filter policy. It has, by key, a list of conditions, of which the message's value under the
// key must match one, or an object: a filter for the members of that value. A condition is an exact string, number,
// boolean or null, or one of prefix, suffix, anything-but, equals-ignore-case, exists and numeric.
type filter map[string]any

// parseFilter reads a filter policy, JSON, and returns an error for a condition that is not understood.
func parseFilter(policy string) (filter, error) {
	var f filter
	if err := json.Unmarshal([]byte(policy), &f); err != nil {
		return nil, errors.New("failed to parse JSON")
	}
	return f, f.check()
}

// check returns an error unless each value is a list of conditions that are understood, or an object of such values.
func (f filter) check() error {
	for k, v := range f {
		switch v := v.(type) {
		case []any:
			for _, c := range v {
				object, ok := c.(map[string]any)
				if !ok {
					continue
				}
				for op := range object {
					if !slices.Contains([]string{"prefix", "suffix", "anything-but", "equals-ignore-case", "exists", "numeric"}, op) {
						return fmt.Errorf("unrecognized match type %s", op)
					}
				}
			}
		case map[string]any:
			if err := filter(v).check(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q must be an object or an array", k)
		}
	}
	return nil
}

// matches reports whether the message passes the subscription's filter, by its body or its attributes. Without a
// filter every message does.
func (s *Subscription) matches(d *delivery) bool {
	if s.filter == nil {
		return true
	}
	if s.filterBody {
		var body map[string]any
		return json.Unmarshal([]byte(d.body), &body) == nil && s.filter.matchObject(body)
	}
	values := map[string]any{}
	for i := range d.attributes {
		a := &d.attributes[i]
		values[a.Name] = attributeValue(a)
	}
	return s.filter.matchObject(values)
}

// attributeValue returns the value that a filter compares: a list for the type String.Array, a float64 for Number, nil
// for Binary, and for other types, or when list or number cannot be read, the text.
func attributeValue(a *Attribute) any {
	switch {
	case a.Type == "String.Array":
		var list []any
		if json.Unmarshal([]byte(a.Value), &list) == nil {
			return list
		}
	case strings.HasPrefix(a.Type, "Number"):
		if n, err := strconv.ParseFloat(a.Value, 64); err == nil {
			return n
		}
	case a.isBinary():
		return nil
	}
	return a.Value
}

// matchObject reports whether each key of f matches the value that object has under it.
func (f filter) matchObject(object map[string]any) bool {
	for k, want := range f {
		have, present := object[k]
		switch want := want.(type) {
		case map[string]any:
			nested, _ := have.(map[string]any)
			if !filter(want).matchObject(nested) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(c any) bool { return matchAny(c, have, present) }) {
				return false
			}
		}
	}
	return true
}

// matchAny reports whether the condition holds for the value have, or, when that is a list, for one of its elements.
// present is whether the key is there at all.
func matchAny(condition, have any, present bool) bool {
	if list, ok := have.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { return matchOne(condition, v, true) })
	}
	return matchOne(condition, have, present)
}

// matchOne reports whether the condition, a scalar or an object with one operation such as {"prefix": "a"}, holds for
// the value have, which is no list. present is whether the key is there at all.
func matchOne(condition, have any, present bool) bool {
	object, ok := condition.(map[string]any)
	if !ok {
		return present && sameScalar(condition, have)
	}
	text, isText := have.(string)
	for op, arg := range object {
		word, _ := arg.(string)
		switch op {
		case "exists":
			return arg == present
		case "prefix":
			return isText && strings.HasPrefix(text, word)
		case "suffix":
			return isText && strings.HasSuffix(text, word)
		case "equals-ignore-case":
			return isText && strings.EqualFold(text, word)
		case "anything-but":
			return present && !matchExcluded(arg, have)
		case "numeric":
			n, isNumber := have.(float64)
			return isNumber && matchNumeric(arg, n)
		}
	}
	return false
}

// matchExcluded reports whether "anything-but" with the argument arg, a list of values or one condition, excludes the
// value have.
func matchExcluded(arg, have any) bool {
	if list, ok := arg.([]any); ok {
		return slices.ContainsFunc(list, func(v any) bool { return sameScalar(v, have) })
	}
	return matchOne(arg, have, true)
}

// sameScalar is == for JSON values, and false for objects and lists.
func sameScalar(a, b any) bool {
	switch a.(type) {
	case map[string]any, []any:
		return false
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// matchNumeric reports whether n is as arg, a list of operators and limits in turn such as [">", 0, "<=", 9], demands.
func matchNumeric(arg any, n float64) bool {
	list, _ := arg.([]any)
	if len(list) == 0 || len(list)%2 != 0 {
		return false
	}
	for i := 0; i < len(list); i += 2 {
		limit, ok := list[i+1].(float64)
		if !ok {
			return false
		}
		op, _ := list[i].(string)
		switch op {
		case "=":
			ok = n == limit
		case "<":
			ok = n < limit
		case "<=":
			ok = n <= limit
		case ">":
			ok = n > limit
		case ">=":
			ok = n >= limit
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}
