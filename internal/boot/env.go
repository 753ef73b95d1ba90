// Package boot makes what the functions run on from the environment: the
// configuration, the logger, the pool and the AWS clients. It is the only
// reader of the environment.
package boot

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// FromEnv reads C from the environment of the process. See Parse.
func FromEnv[C any]() (C, error) {
	environ := env.ToMap(os.Environ())
	return Parse[C](environ)
}

// Parse reads C from environ by the tags of its fields: env names the variable,
// envDefault its default, and help what to set it to. A variable that is empty
// counts as not set, because templates pass parameters that nobody filled in.
// The error names every variable that is missing or wrong, and never holds a
// value of one that can be secret.
//
// A C with a method Validate() []error adds its own faults.
func Parse[C any](environ map[string]string) (C, error) {
	var c C
	set := make(map[string]string, len(environ))
	for k, v := range environ {
		if v != "" {
			set[k] = v
		}
	}
	var faults []error
	if err := env.ParseWithOptions(&c, env.Options{Environment: set}); err != nil {
		faults = explain(err, Variables[C]())
	}
	if v, ok := any(&c).(interface{ Validate() []error }); ok {
		faults = append(faults, v.Validate()...)
	}
	if len(faults) > 0 {
		return c, fmt.Errorf("configuration:\n%w", errors.Join(faults...))
	}
	return c, nil
}

// explain says which variable is meant and what it should hold.
func explain(err error, variables []Variable) []error {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return []error{err}
	}
	var faults []error
	for _, fault := range all.Errors {
		if parse, isParse := errors.AsType[env.ParseError](fault); isParse {
			for _, v := range variables {
				if v.field == parse.Name {
					fault = fmt.Errorf("%s: %w: set it to: %s", v.Name, parse.Err, v.Help)
				}
			}
		}
		faults = append(faults, fault)
	}
	return faults
}

// Variable describes a variable of the environment.
type Variable struct {
	Name    string
	Default string
	Help    string
	field   string
}

// Variables lists the variables of C in the order of its fields.
func Variables[C any]() []Variable { return variablesOf(reflect.TypeFor[C]()) }

func variablesOf(t reflect.Type) []Variable {
	var variables []Variable
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			if f.Type.Kind() == reflect.Struct {
				variables = append(variables, variablesOf(f.Type)...)
			}
			continue
		}
		variables = append(variables, Variable{
			Name:    name,
			Default: f.Tag.Get("envDefault"),
			Help:    f.Tag.Get("help"),
			field:   f.Name,
		})
	}
	return variables
}
