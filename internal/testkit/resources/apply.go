package resources

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Options are the parts of a stack that the template does not fix.
type Options struct {
	// StackName is the value of AWS::StackName, and so the beginning of all names. Defaults to "outbox".
	StackName string
	// AccountID is the value of AWS::AccountId. Defaults to 000000000000, the account of the emulators.
	AccountID string
	// Parameters override the defaults of the template's parameters, by name. A name that the template does not have is
	// an error. Nil overrides none.
	Parameters map[string]string
}

// withDefaults returns o with the defaults of StackName and AccountID where these are empty.
func (o Options) withDefaults() Options {
	o.StackName = cmp.Or(o.StackName, "outbox")
	o.AccountID = cmp.Or(o.AccountID, "000000000000")
	return o
}

// Outputs are the resources that Apply created or found.
type Outputs struct {
	// Resources holds the created resources by logical id.
	Resources map[string]Created
	// Destinations has the ARN of each of the relay's destinations, by name, from its variable OUTBOX_DESTINATIONS.
	// It is nil when the template has no resource RelayFunction.
	Destinations map[string]string

	resolver *resolver // of the template, with the values of all created resources
}

// Created is a resource that exists after Apply.
type Created struct {
	// Type is the type of CloudFormation, such as "AWS::SQS::Queue".
	Type string
	// ARN is the resource's ARN, empty for the policies of queues and topics, which have none.
	ARN string
	// URL is the URL of a queue, empty for any other resource.
	URL string
}

// relayFunction is the logical id of the relay in the template.
const relayFunction = "RelayFunction"

// skipped reports whether Apply passes resources of the type kind over without an error: functions, roles, logs,
// alarms, dashboards and buckets, which mean nothing to SNS and SQS.
func skipped(kind string) bool {
	switch kind {
	case "AWS::Serverless::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::Logs::MetricFilter",
		"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::S3::Bucket", "AWS::S3::BucketPolicy":
		return true
	}
	return false
}

// Apply creates the messaging resources of the template at path, in the order of their dependencies, with clients of
// cfg. A second call changes nothing, except that attributes of queues follow the template. A resource type or
// property that Apply does not know is an error that names it, and nothing is created then. After another error some
// may exist.
func Apply(ctx context.Context, cfg aws.Config, path string, o Options) (Outputs, error) {
	t, err := Load(path)
	if err != nil {
		return Outputs{}, err
	}
	o = o.withDefaults()
	r, err := newResolver(t, o, cfg.Region)
	if err != nil {
		return Outputs{}, fmt.Errorf("apply %s: %w", path, err)
	}
	order, err := plan(t, r)
	if err != nil {
		return Outputs{}, fmt.Errorf("apply %s: %w", path, err)
	}
	c := &creator{sns: sns.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg)}
	out := Outputs{Resources: map[string]Created{}, resolver: r}
	for _, id := range order {
		created, attributes, createErr := c.create(ctx, r, t.Resources[id])
		if createErr != nil {
			return Outputs{}, fmt.Errorf("apply %s: %s: %w", path, id, createErr)
		}
		out.Resources[id] = created
		r.created[id] = attributes
	}
	if _, ok := t.Resources[relayFunction]; ok {
		if out.Destinations, err = out.destinations(); err != nil {
			return Outputs{}, fmt.Errorf("apply %s: %w", path, err)
		}
	}
	return out, nil
}

// Environment returns the environment variables, by name, that the template gives to the function of that logical
// id. It errs when the template has no such function, when it gives the function no variables, and when a value
// names a resource that Apply did not create.
func (o *Outputs) Environment(function string) (map[string]string, error) {
	resource, ok := o.resolver.template.Resources[function]
	if !ok {
		return nil, fmt.Errorf("environment: the template has no %s", function)
	}
	environment, err := mapping(resource.Properties, "Environment")
	if err != nil {
		return nil, fmt.Errorf("environment of %s: %w", function, err)
	}
	resolved, err := o.resolver.resolve(environment["Variables"])
	if err != nil {
		return nil, fmt.Errorf("environment of %s: %w", function, err)
	}
	variables, ok := resolved.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("environment of %s: it has no variables", function)
	}
	env := make(map[string]string, len(variables))
	for name, value := range variables {
		env[name] = text(value)
	}
	return env, nil
}

// destinations reads the relay's OUTBOX_DESTINATIONS and returns the ARN of each destination, by name.
func (o *Outputs) destinations() (map[string]string, error) {
	env, err := o.Environment(relayFunction)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(env["OUTBOX_DESTINATIONS"]), &raw); err != nil {
		return nil, fmt.Errorf("OUTBOX_DESTINATIONS: %w", err)
	}
	destinations := make(map[string]string, len(raw))
	for name, value := range raw {
		// A destination is an ARN, or an object with an arn and settings.
		var object struct {
			ARN string `json:"arn"`
		}
		if json.Unmarshal(value, &object.ARN) != nil {
			if err := json.Unmarshal(value, &object); err != nil {
				return nil, fmt.Errorf("OUTBOX_DESTINATIONS: %s: %w", name, err)
			}
		}
		destinations[name] = object.ARN
	}
	return destinations, nil
}

// plan returns the logical ids of the resources to create, each after what it refers to, without those that are
// skipped or whose condition does not hold. It errs for types, properties and functions that are not supported, and
// for circular dependencies.
func plan(t *Template, r *resolver) ([]string, error) {
	var faults []error
	wanted := map[string]bool{}
	for id, resource := range t.Resources {
		if skipped(resource.Type) {
			continue
		}
		if err := known(resource); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", id, err))
		}
		yes, err := r.there(resource)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", id, err))
		}
		wanted[id] = yes
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	v := visitor{r: r, wanted: wanted, state: map[string]int{}}
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		if err := v.visit(id, nil); err != nil {
			return nil, err
		}
	}
	return v.order, nil
}

// visitor sorts resources by dependency, depth first.
type visitor struct {
	r      *resolver
	wanted map[string]bool // by logical id, whether the resource is to be created
	state  map[string]int  // by logical id: 0 not visited, 1 being visited, 2 done
	order  []string        // the logical ids that are done, each after what it refers to
}

// visit adds the resource id to order, after what it refers to, unless it is not wanted or is in order already. path
// has the logical ids of the resources that led to this one, for the error of a circular dependency.
func (v *visitor) visit(id string, path []string) error {
	if !v.wanted[id] || v.state[id] == 2 {
		return nil
	}
	path = append(path, id)
	if v.state[id] == 1 {
		return fmt.Errorf("circular dependency: %s", strings.Join(path, " -> "))
	}
	v.state[id] = 1
	resource := v.r.template.Resources[id]
	references, err := v.r.references(resource)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	for _, next := range slices.Concat(references, resource.DependsOn) {
		if err := v.visit(next, path); err != nil {
			return err
		}
	}
	v.state[id] = 2
	v.order = append(v.order, id)
	return nil
}
