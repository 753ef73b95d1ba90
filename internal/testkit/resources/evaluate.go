package resources

import (
	"errors"
	"fmt"
)

// Evaluate returns, by logical id, the resources of all types that a stack with these
// options has in us-east-1, with every function in their properties evaluated. What only
// AWS knows stays a symbol: ${Topic} for !Ref Topic, ${Topic.Arn} for !GetAtt Topic.Arn.
// It creates nothing.
func (t *Template) Evaluate(o Options) (map[string]Resource, error) {
	const region = "us-east-1"
	r, err := newResolver(t, o.withDefaults(), region)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	r.symbolic = true
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
		value, err := r.resolve(resource.Properties)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", id, err))
			continue
		}
		properties, ok := value.(map[string]any)
		if !ok {
			faults = append(faults, fmt.Errorf("%s: its properties are not a mapping", id))
			continue
		}
		resource.Properties = properties
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
