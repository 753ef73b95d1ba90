// Package resources creates the topics, queues, policies and subscriptions of template.yaml on any endpoint that
// speaks SNS and SQS: the template is the one description of them, on AWS and in tests. Everything else about a stack
// needs CloudFormation.
package resources

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a SAM or CloudFormation template with the short forms of its intrinsic functions spelled out: !Ref X is
// map[Ref: X]. Each section has its items by name or logical id, and is empty when the template does not have it.
type Template struct {
	Parameters map[string]Parameter
	Conditions map[string]any
	Resources  map[string]Resource
}

// Parameter is a parameter of a template. Default is the value that it has unless Options give another, nil for none.
type Parameter struct {
	Type    string
	Default any
}

// Resource is a resource of a template. Condition is the name of the condition under which a stack has it, empty when
// every stack does; DependsOn has the logical ids of resources to create before it.
type Resource struct {
	Type       string
	Condition  string
	DependsOn  []string
	Properties map[string]any
}

// Load reads the template in the YAML file at path.
func Load(path string) (*Template, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return t, nil
}

// Parse reads a template from YAML. It errs for aliases, names that are there twice, and functions that the resolver
// does not know. Sections that Template does not have are ignored.
func Parse(data []byte) (*Template, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("parse: empty template")
	}
	root, err := plain(doc.Content[0])
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	top, ok := root.(map[string]any)
	if !ok {
		return nil, errors.New("parse: the template is not a mapping")
	}
	t := &Template{Parameters: map[string]Parameter{}, Resources: map[string]Resource{}}
	if t.Conditions, err = mapping(top, "Conditions"); err != nil {
		return nil, err
	}
	if err := t.readParameters(top); err != nil {
		return nil, err
	}
	if err := t.readResources(top); err != nil {
		return nil, err
	}
	return t, nil
}

// readParameters fills t.Parameters from top, the whole template as a mapping.
func (t *Template) readParameters(top map[string]any) error {
	section, err := mapping(top, "Parameters")
	if err != nil {
		return err
	}
	for name := range section {
		body, err := mapping(section, name)
		if err != nil {
			return err
		}
		kind, ok := body["Type"].(string)
		if !ok {
			return fmt.Errorf("parse: parameter %s has no Type", name)
		}
		t.Parameters[name] = Parameter{Type: kind, Default: body["Default"]}
	}
	return nil
}

// readResources fills t.Resources from top, the whole template as a mapping.
func (t *Template) readResources(top map[string]any) error {
	section, err := mapping(top, "Resources")
	if err != nil {
		return err
	}
	for id := range section {
		body, err := mapping(section, id)
		if err != nil {
			return err
		}
		r := Resource{}
		var ok bool
		if r.Type, ok = body["Type"].(string); !ok {
			return fmt.Errorf("parse: resource %s has no Type", id)
		}
		if r.Condition, ok = body["Condition"].(string); !ok && body["Condition"] != nil {
			return fmt.Errorf("parse: Condition of %s is not a name", id)
		}
		if r.Properties, err = mapping(body, "Properties"); err != nil {
			return err
		}
		if r.DependsOn, err = names(body["DependsOn"]); err != nil {
			return fmt.Errorf("parse: DependsOn of %s: %w", id, err)
		}
		t.Resources[id] = r
	}
	return nil
}

// mapping returns the mapping that parent has under key, an empty one when it is missing, and an error when the value
// is no mapping.
func mapping(parent map[string]any, key string) (map[string]any, error) {
	v, ok := parent[key]
	if !ok || v == nil {
		return map[string]any{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("parse: %s is not a mapping", key)
	}
	return m, nil
}

// names returns the names in v: none for nil, one for a text, or those of a list of texts.
func names(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var list []string
		for _, item := range v {
			name, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("%v is not a name", item)
			}
			list = append(list, name)
		}
		return list, nil
	}
	return nil, fmt.Errorf("%v is neither a name nor a list of names", v)
}

// functions returns the names of the intrinsic functions that the resolver supports, in their long form.
func functions() []string {
	return []string{"Fn::GetAtt", "Fn::Sub", "Fn::If", "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or", "Fn::Join", "Ref", "Condition"}
}

// plain turns a YAML node into a Go value: map[string]any, []any or a scalar. Short forms of functions become long
// ones. It errs for aliases, keys that are there twice, and functions that are not supported.
func plain(n *yaml.Node) (any, error) {
	var v any
	switch n.Kind {
	case yaml.AliasNode:
		// CloudFormation refuses them too.
		return nil, fmt.Errorf("line %d: YAML aliases are not supported", n.Line)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for pair := range slices.Chunk(n.Content, 2) {
			if _, twice := m[pair[0].Value]; twice {
				return nil, fmt.Errorf("line %d: %s is there twice", pair[0].Line, pair[0].Value)
			}
			value, err := plain(pair[1])
			if err != nil {
				return nil, err
			}
			m[pair[0].Value] = value
		}
		v = m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, child := range n.Content {
			value, err := plain(child)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		v = list
	case yaml.ScalarNode:
		if custom(n.Tag) {
			v = n.Value
		} else if err := n.Decode(&v); err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
	case yaml.DocumentNode:
		return nil, fmt.Errorf("line %d: a document inside of a document", n.Line)
	default:
		return nil, fmt.Errorf("line %d: unexpected YAML", n.Line)
	}
	if !custom(n.Tag) {
		return v, nil
	}
	return spellOut(n, v)
}

// custom reports whether a YAML tag is one of CloudFormation, such as !Ref, and not one of YAML, such as !!str.
func custom(tag string) bool { return strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!") }

// spellOut returns the long form, a mapping of one key, of the intrinsic function that the tag of n names, with the
// argument v. It errs for a function that is not supported.
func spellOut(n *yaml.Node, v any) (any, error) {
	name := strings.TrimPrefix(n.Tag, "!")
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	if !slices.Contains(functions(), name) {
		return nil, fmt.Errorf("line %d: unsupported function %s", n.Line, n.Tag)
	}
	if text, ok := v.(string); ok && name == "Fn::GetAtt" {
		id, attribute, _ := strings.Cut(text, ".")
		v = []any{id, attribute}
	}
	return map[string]any{name: v}, nil
}
