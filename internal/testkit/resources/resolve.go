package resources

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noValue is the value of !Ref AWS::NoValue: resolve leaves out a property or list item that has it.
type noValue struct{}

// resolver replaces intrinsic functions by their values.
type resolver struct {
	template *Template
	// parameters has the values of the template's parameters, texts or lists of texts, and pseudo those of AWS, such
	// as AWS::Region.
	parameters map[string]any
	pseudo     map[string]any
	// created holds, by logical id, the value of !Ref under "Ref" and of !GetAtt under the attribute's name.
	created map[string]map[string]string
	// symbolic gives resources that are not in created the value ${Name} or ${Name.Attribute}. Otherwise to name one
	// is an error.
	symbolic bool
	// evaluating has the names of the conditions that led to the one being evaluated, to find circles.
	evaluating []string
}

// newResolver returns a resolver with no resource created yet. It errs, and names them all, for parameters in o that
// the template does not have, and for parameters without a value.
func newResolver(t *Template, o Options, region string) (*resolver, error) {
	r := &resolver{
		template: t, parameters: map[string]any{}, created: map[string]map[string]string{},
		pseudo: map[string]any{
			"AWS::NoValue": noValue{}, "AWS::Region": region, "AWS::AccountId": o.AccountID,
			"AWS::StackName": o.StackName, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
		},
	}
	var faults []error
	for name := range o.Parameters {
		if _, ok := t.Parameters[name]; !ok {
			faults = append(faults, fmt.Errorf("the template has no parameter %s", name))
		}
	}
	for name, p := range t.Parameters {
		value := p.Default
		if given, ok := o.Parameters[name]; ok {
			value = given
		}
		if value == nil {
			faults = append(faults, fmt.Errorf("parameter %s has no value", name))
			continue
		}
		if p.Type == "CommaDelimitedList" || strings.HasPrefix(p.Type, "List<") {
			var list []any
			for item := range strings.SplitSeq(text(value), ",") {
				list = append(list, strings.TrimSpace(item))
			}
			value = list
		}
		r.parameters[name] = value
	}
	return r, errors.Join(faults...)
}

// resolve returns a copy of v with every function in it evaluated. A property whose value
// is AWS::NoValue is left out of its mapping or list.
func (r *resolver) resolve(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if name, argument, ok := call(v); ok {
			return r.evaluate(name, argument)
		}
		m := make(map[string]any, len(v))
		for key, item := range v {
			value, err := r.resolve(item)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if _, none := value.(noValue); !none {
				m[key] = value
			}
		}
		return m, nil
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			value, err := r.resolve(item)
			if err != nil {
				return nil, err
			}
			if _, none := value.(noValue); !none {
				list = append(list, value)
			}
		}
		return list, nil
	}
	return v, nil
}

// call reports whether m is an intrinsic function, and returns its name and argument. A mapping with the single key Condition is one only where it
// holds a condition's name: policies have blocks of that name.
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

// evaluate returns the value of the intrinsic function name, with the argument as the template has it. It errs for a
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
		parts, err := twoStrings(argument)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return r.attribute(parts[0], parts[1])
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

// ref returns the value of !Ref id: of a pseudo parameter, a parameter, or a resource.
func (r *resolver) ref(id string) (any, error) {
	if value, ok := r.pseudo[id]; ok {
		return value, nil
	}
	if value, ok := r.parameters[id]; ok {
		return value, nil
	}
	return r.attribute(id, "Ref")
}

// attribute returns the value of !GetAtt id.name of a created resource, and of !Ref id when name is "Ref". For a
// resource that is not created it returns a symbol when r is symbolic, and otherwise an error.
func (r *resolver) attribute(id, name string) (any, error) {
	attributes, ok := r.created[id]
	if _, known := r.template.Resources[id]; !ok && known && r.symbolic {
		if name == "Ref" {
			return "${" + id + "}", nil
		}
		return "${" + id + "." + name + "}", nil
	}
	if !ok {
		return nil, fmt.Errorf("%s is not a parameter and not a resource that is created here", id)
	}
	value, ok := attributes[name]
	if !ok {
		return nil, fmt.Errorf("%s.%s is not supported", id, name)
	}
	return value, nil
}

// placeholder matches ${Name} and ${!Literal} in the pattern of a Fn::Sub.
var placeholder = regexp.MustCompile(`\$\{(!?[^}]*)\}`)

// sub returns the value of Fn::Sub, a text.
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
		value, err := r.reference(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("Fn::Sub: %w", err))
		}
		return text(value)
	})
	return replaced, errors.Join(faults...)
}

// subArgument reads the argument of Fn::Sub: a pattern, or a list of a pattern and variables of its own, which it
// resolves. Without variables it returns nil ones.
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

// reference returns the value of a ${} in a Fn::Sub: name is one that !Ref takes, or a logical id, a dot and an
// attribute.
func (r *resolver) reference(name string) (any, error) {
	if id, attribute, ok := strings.Cut(name, "."); ok {
		return r.attribute(id, attribute)
	}
	return r.ref(name)
}

// join returns the value of Fn::Join, a text.
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

// choose returns the value of Fn::If; only the part that is chosen is resolved.
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

// condition reports whether the template's condition of that name holds. It errs when there is none, or when it
// depends on itself.
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

// twoStrings returns the logical id and the attribute of a Fn::GetAtt.
func twoStrings(v any) ([2]string, error) {
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return [2]string{}, errors.New("needs a logical id and an attribute")
	}
	return [2]string{text(list[0]), text(list[1])}, nil
}

// text returns a scalar as the text that CloudFormation makes of it, "" for nil.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

// references returns the logical ids of the template's resources that v names, sorted and each once.
func (t *Template) references(v any) []string {
	found := map[string]struct{}{}
	t.collect(v, found)
	return slices.Sorted(maps.Keys(found))
}

// collect adds to found, as keys, the logical ids of the template's resources that v names.
func (t *Template) collect(v any, found map[string]struct{}) {
	note := func(name string) {
		id, _, _ := strings.Cut(name, ".")
		if _, ok := t.Resources[id]; ok {
			found[id] = struct{}{}
		}
	}
	switch v := v.(type) {
	case map[string]any:
		name, argument, ok := call(v)
		switch {
		case ok && name == "Ref":
			note(text(argument))
		case ok && name == "Fn::GetAtt":
			if parts, err := twoStrings(argument); err == nil {
				note(parts[0])
			}
		case ok && name == "Fn::Sub":
			for _, match := range placeholder.FindAllStringSubmatch(text(argument), -1) {
				note(match[1])
			}
		default:
			for _, item := range v {
				t.collect(item, found)
			}
		}
	case []any:
		for _, item := range v {
			t.collect(item, found)
		}
	}
}
