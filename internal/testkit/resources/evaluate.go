package resources

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Evaluate returns, by logical id, the resources of all types that a stack with the options o has in us-east-1, with
// every function in their properties replaced by its value. What only AWS knows stays a symbol: ${Topic} for !Ref
// Topic, ${Topic.Arn} for !GetAtt Topic.Arn. It creates nothing.
func (t *Template) Evaluate(o Options) (map[string]Resource, error) {
	const region = "us-east-1"
	r, err := newResolver(t, o.withDefaults(), region)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	r.symbols = map[string]struct{}{}
	evaluated := map[string]Resource{}
	var faults []error
	for id, resource := range t.Resources {
		there, err := r.there(resource)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", id, err))
			continue
		}
		if !there {
			continue
		}
		if resource.Properties, err = r.properties(resource); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", id, err))
			continue
		}
		evaluated[id] = resource
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return evaluated, nil
}

// there reports whether a stack has the resource: its condition holds, or it has none.
func (r *resolver) there(resource Resource) (bool, error) {
	if resource.Condition == "" {
		return true, nil
	}
	return r.condition(resource.Condition)
}

// properties returns the properties of the resource with every function in them replaced by its value.
func (r *resolver) properties(resource Resource) (map[string]any, error) {
	value, err := r.resolve(resource.Properties)
	if err != nil {
		return nil, err
	}
	properties, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("its properties are not a mapping")
	}
	return properties, nil
}

// references returns the logical ids of the resources, none of them created yet, that the value of a property of the
// resource depends on, sorted.
func (r *resolver) references(resource Resource) ([]string, error) {
	symbolic := *r
	symbolic.symbols = map[string]struct{}{}
	_, err := symbolic.properties(resource)
	return slices.Sorted(maps.Keys(symbolic.symbols)), err
}
