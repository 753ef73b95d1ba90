package resources

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// noValue is the value of !Ref AWS::NoValue: resolve leaves a property or list item out that has it.
type noValue struct{}

// resolver replaces the intrinsic functions in the values of a template by what they return.
type resolver struct {
	template *Template
	// parameters has the values of the template's parameters, texts or lists of texts, and pseudo those of AWS, such
	// as AWS::Region.
	parameters map[string]any
	pseudo     map[string]any
	// created holds, by logical id, the value of !Ref under "Ref" and of !GetAtt under the attribute's name.
	created map[string]map[string]string
	// symbols, unless nil, makes resources that are not in created resolve to the text ${Name} or ${Name.Attribute},
	// and collects their logical ids. While it is nil such a resource is an error.
	symbols map[string]struct{}
	// evaluating has the names of the conditions that led to the one being evaluated, to find circles.
	evaluating []string
}

// newResolver returns a resolver of t for a stack with the options o in region, of which no resource is created yet.
// Its error names all parameters in o that the template does not have, and all parameters without a value.
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

// resolve returns a copy of v, a part of the template, with every intrinsic function in it replaced by its value. A
// property or list item whose value is AWS::NoValue is left out.
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
// resource of the template that is not created it returns a symbol if r has symbols, and otherwise an error.
func (r *resolver) attribute(id, name string) (any, error) {
	attributes, ok := r.created[id]
	if _, known := r.template.Resources[id]; !ok && known && r.symbols != nil {
		r.symbols[id] = struct{}{}
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
