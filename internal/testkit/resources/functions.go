package resources

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// call reports whether m is an intrinsic function in its long form, and returns its name and argument. A mapping with
// the single key Condition is one only where its value is a text: policies have blocks of that name.
func call(m map[string]any) (name string, argument any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for name, argument = range m {
		if name == "Condition" {
			_, ok = argument.(string)
			return name, argument, ok
		}
		return name, argument, name == "Ref" || strings.HasPrefix(name, "Fn::")
	}
	return "", nil, false
}

// evaluate returns the value of the intrinsic function name; argument is its argument, unresolved. It errs for a
// function that is not supported.
func (r *resolver) evaluate(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		id, ok := argument.(string)
		if !ok {
			return nil, errors.New("the argument of Ref is not a name")
		}
		return r.ref(id)
	case "Fn::GetAtt":
		parts, ok := argument.([]any)
		if !ok || len(parts) != 2 {
			return nil, errors.New("Fn::GetAtt needs a logical id and an attribute")
		}
		return r.attribute(text(parts[0]), text(parts[1]))
	case "Fn::Sub":
		return r.sub(argument)
	case "Fn::Join":
		return r.join(argument)
	case "Fn::If":
		return r.choose(argument)
	case "Condition":
		id, ok := argument.(string)
		if !ok {
			return nil, errors.New("the argument of Condition is not a name")
		}
		return r.condition(id)
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or":
		return r.logic(name, argument)
	}
	return nil, fmt.Errorf("unsupported function %s", name)
}

// placeholder matches ${Name} and ${!Literal} in the pattern of a Fn::Sub.
var placeholder = regexp.MustCompile(`\$\{(!?[^}]*)\}`)

// sub returns the value of Fn::Sub: the pattern with a value in the place of each ${Name}.
func (r *resolver) sub(argument any) (any, error) {
	pattern, variables, err := r.subArgument(argument)
	if err != nil {
		return nil, err
	}
	var faults []error
	replaced := placeholder.ReplaceAllStringFunc(pattern, func(match string) string {
		name := match[2 : len(match)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		if value, ok := variables[name]; ok {
			return text(value)
		}
		var value any
		var err error
		if id, attribute, ok := strings.Cut(name, "."); ok {
			value, err = r.attribute(id, attribute)
		} else {
			value, err = r.ref(name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("Fn::Sub: %w", err))
		}
		return text(value)
	})
	return replaced, errors.Join(faults...)
}

// subArgument reads the argument of Fn::Sub: a pattern, or a list of a pattern and a mapping of variables by name. It
// returns the variables resolved, and nil for a pattern alone.
func (r *resolver) subArgument(argument any) (pattern string, variables map[string]any, err error) {
	if alone, ok := argument.(string); ok {
		return alone, nil, nil
	}
	fault := errors.New("Fn::Sub needs a pattern, or a pattern and its variables")
	parts, ok := argument.([]any)
	if !ok || len(parts) != 2 {
		return "", nil, fault
	}
	if pattern, ok = parts[0].(string); !ok {
		return "", nil, fault
	}
	value, err := r.resolve(parts[1])
	if err != nil {
		return "", nil, err
	}
	if variables, ok = value.(map[string]any); !ok {
		return "", nil, fault
	}
	return pattern, variables, nil
}

// join returns the value of Fn::Join. argument, unresolved, is a separator and a list: the items of the list, resolved,
// become one text with the separator between them.
func (r *resolver) join(argument any) (any, error) {
	parts, ok := argument.([]any)
	if !ok || len(parts) != 2 {
		return nil, errors.New("Fn::Join needs a separator and a list")
	}
	value, err := r.resolve(parts[1])
	if err != nil {
		return nil, err
	}
	items, ok := value.([]any)
	if !ok {
		return nil, errors.New("Fn::Join needs a list")
	}
	var texts []string
	for _, item := range items {
		texts = append(texts, text(item))
	}
	return strings.Join(texts, text(parts[0])), nil
}

// choose returns the value of Fn::If: the second part of argument where the condition holds, else the third. It does
// not resolve the other one.
func (r *resolver) choose(argument any) (any, error) {
	parts, ok := argument.([]any)
	if !ok || len(parts) != 3 {
		return nil, errors.New("Fn::If needs a condition and two values")
	}
	yes, err := r.condition(text(parts[0]))
	if err != nil {
		return nil, err
	}
	if yes {
		return r.resolve(parts[1])
	}
	return r.resolve(parts[2])
}

// condition reports whether the template's condition of that name holds. It errs when the template has no such
// condition, and when the condition depends on itself.
func (r *resolver) condition(name string) (bool, error) {
	body, ok := r.template.Conditions[name]
	if !ok {
		return false, fmt.Errorf("no condition %s", name)
	}
	if slices.Contains(r.evaluating, name) {
		return false, fmt.Errorf("condition %s depends on itself", name)
	}
	r.evaluating = append(r.evaluating, name)
	defer func() { r.evaluating = r.evaluating[:len(r.evaluating)-1] }()
	return r.truth(body)
}

// truth resolves v, which must be a condition function, and returns whether it holds.
func (r *resolver) truth(v any) (bool, error) {
	value, err := r.resolve(v)
	if err != nil {
		return false, err
	}
	yes, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("%v is not a condition", value)
	}
	return yes, nil
}

// logic returns the value of Fn::Equals, Fn::And, Fn::Or or Fn::Not, a bool. Fn::Equals compares texts.
func (r *resolver) logic(name string, argument any) (any, error) {
	parts, ok := argument.([]any)
	if !ok || len(parts) == 0 {
		return nil, fmt.Errorf("%s needs a list", name)
	}
	if name == "Fn::Equals" {
		if len(parts) != 2 {
			return nil, errors.New("Fn::Equals needs two values")
		}
		values, err := r.resolve(parts)
		if err != nil {
			return nil, err
		}
		two, ok := values.([]any)
		if !ok || len(two) != 2 {
			return nil, errors.New("Fn::Equals needs two values")
		}
		return text(two[0]) == text(two[1]), nil
	}
	var truths []bool
	for _, part := range parts {
		yes, err := r.truth(part)
		if err != nil {
			return nil, err
		}
		truths = append(truths, yes)
	}
	switch name {
	case "Fn::And":
		return !slices.Contains(truths, false), nil
	case "Fn::Or":
		return slices.Contains(truths, true), nil
	default:
		return !truths[0], nil
	}
}
