// Package boot makes what the functions run on from the environment: the configuration, the logger, the pool and the
// AWS clients. It is the only reader of the environment.
package boot

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// FromEnv reads the configuration C from the environment of the process, as [Parse] does from a map. Its error
// names every variable that is missing or wrong.
func FromEnv[C any]() (C, error) {
	return Parse[C](env.ToMap(os.Environ()))
}

// Parse reads the configuration C from environ, variables by name. The tag env of a field names its variable;
// the default is that of [Variables]. An empty variable counts as not set, because templates pass parameters that
// were not filled in. Where C has a method Validate() []error, Parse calls it on what it read.
//
// The error names every variable that is missing or wrong, and never has a value in it that can be secret. The
// configuration beside an error is not complete.
func Parse[C any](environ map[string]string) (C, error) {
	var c C
	variables := Variables[C]()
	set := make(map[string]string, len(environ))
	for name, value := range environ {
		if value != "" {
			set[name] = value
		}
	}
	for _, v := range variables {
		if text := cmp.Or(set[v.Name], v.Default); text != "" {
			set[v.Name] = text
		}
	}
	var faults []error
	if err := env.ParseWithOptions(&c, env.Options{Environment: set}); err != nil {
		faults = explain(err, variables)
	}
	if v, ok := any(&c).(interface{ Validate() []error }); ok {
		faults = append(faults, v.Validate()...)
	}
	if len(faults) > 0 {
		return c, fmt.Errorf("configuration:\n%w", errors.Join(faults...))
	}
	return c, nil
}

// explain returns the single faults of err, an error of the package env that parses the environment. The parser
// names a Go field; explain puts the variable in its place and adds what to set it to.
func explain(err error, variables []Variable) []error {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return []error{err}
	}
	var faults []error
	for _, fault := range all.Errors {
		if parse, isParse := errors.AsType[env.ParseError](fault); isParse {
			if v, found := byField(variables, parse.Name); found {
				fault = fmt.Errorf("%s: %w: set it to: %s", v.Name, parse.Err, v.help())
			}
		}
		faults = append(faults, fault)
	}
	return faults
}

// Variable describes an environment variable that a function reads.
type Variable struct {
	Name string
	// Default is the value of the variable when it is not set or set to "", empty when it has no default.
	Default string
	// Meaning says what to set the variable to and what it does.
	Meaning string
	// field is the name of the Go field that the variable sets.
	field string
}

// help returns Meaning with Default behind it, for errors.
func (v Variable) help() string {
	if v.Default == "" {
		return v.Meaning
	}
	return v.Meaning + " (default " + v.Default + ")"
}

// byField returns the variable that sets the Go field of that name, and false when there is none.
func byField(variables []Variable, field string) (Variable, bool) {
	for _, v := range variables {
		if v.field == field {
			return v, true
		}
	}
	return Variable{}, false
}

// Variables lists the variables that set the fields of C and of the structs in C, in the order of the fields.
func Variables[C any]() []Variable { return variablesOf(reflect.TypeFor[C](), meanings()) }

// variablesOf lists the variables that set the fields of the struct type t. known has defaults and meanings by
// variable.
func variablesOf(t reflect.Type, known map[string]entry) []Variable {
	var variables []Variable
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			if f.Type.Kind() == reflect.Struct {
				variables = append(variables, variablesOf(f.Type, known)...)
			}
			continue
		}
		e := known[name]
		variables = append(variables, Variable{Name: name, Default: text(e.value), Meaning: e.meaning, field: f.Name})
	}
	return variables
}

// named returns the single faults of err, an error of an engine's configuration, and none for nil. Where a fault
// names a field of that configuration, named replaces the name by that of the variable which sets the field of
// the same name in C.
func named[C any](err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		var faults []error
		for _, e := range joined.Unwrap() {
			faults = append(faults, named[C](e)...)
		}
		return faults
	}
	variables := Variables[C]()
	if f, ok := errors.AsType[*relay.FieldError](err); ok {
		if v, found := byField(variables, f.Field); found {
			return []error{&relay.FieldError{Field: v.Name, Problem: f.Problem}}
		}
	}
	if f, ok := errors.AsType[*janitor.FieldError](err); ok {
		if v, found := byField(variables, f.Field); found {
			bound, _ := byField(variables, f.Bound)
			return []error{&janitor.FieldError{Field: v.Name, Problem: f.Problem, Bound: bound.Name}}
		}
	}
	return []error{err}
}
