package boot

import (
	"fmt"
	"maps"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/resources"
)

// deployed is what a function reads, and how it takes an environment.
type deployed struct {
	variables []Variable
	parse     func(environ map[string]string) error
}

func deployedFunctions() map[string]deployed {
	return map[string]deployed{
		"RelayFunction":   {Variables[Relay](), func(e map[string]string) error { _, err := Parse[Relay](e); return err }},
		"RedriveFunction": {Variables[Redrive](), func(e map[string]string) error { _, err := Parse[Redrive](e); return err }},
		"JanitorFunction": {Variables[Janitor](), func(e map[string]string) error { _, err := Parse[Janitor](e); return err }},
	}
}

// Every variable that the template sets is read, and what it sets is enough and
// right, for each way to deploy it.
func TestTheTemplateGivesEachFunctionItsVariables(t *testing.T) {
	t.Parallel()
	template, err := resources.Load("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const url, iam = "postgres://u@db:5432/app?sslmode=verify-full", "arn:aws:rds-db:eu-west-1:111122223333:dbuser:db-1/u"
	for name, parameters := range map[string]map[string]string{
		"a URL":    {"DatabaseUrl": url},
		"a secret": {"DatabaseSecretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:outbox"},
		"IAM":      {"DatabaseUrl": url, "DatabaseIamUserArn": iam, "Relays": "8", "IdleExit": "20s"},
		"logins of their own": {
			"DatabaseUrl": url, "DatabaseIamUserArn": iam, "RedriveDatabaseUrl": url,
			"JanitorDatabaseSecretArn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:janitor",
		},
		"exports and traces": {
			"DatabaseUrl": url, "ArchiveRetention": "2160h", "ExportBucket": "create", "ExportPrefix": "outbox",
			"OtlpEndpoint": "http://collector:4318",
		},
		"existing destinations": {"DatabaseUrl": url, "Destinations": `{"default":"arn:aws:sns:eu-west-1:111122223333:orders.fifo"}`},
	} {
		for function, f := range deployedFunctions() {
			environ, err := environment(template, parameters, function)
			if err != nil {
				t.Fatal(err)
			}
			read := map[string]bool{"AWS_ENDPOINT_URL": true} // by the SDK
			for _, v := range f.variables {
				read[v.Name] = true
			}
			for variable := range environ {
				if !read[variable] {
					t.Errorf("%s: %s does not read %s", name, function, variable)
				}
			}
			if err := f.parse(environ); err != nil {
				t.Errorf("%s: %s: %v", name, function, err)
			}
			without := maps.Clone(environ)
			delete(without, "OUTBOX_DATABASE_URL")
			delete(without, "OUTBOX_DATABASE_SECRET_ARN")
			delete(without, "OUTBOX_DATABASE_AUTH")
			if err := f.parse(without); err == nil && function != "RedriveFunction" {
				t.Errorf("%s: %s does without a database", name, function)
			}
		}
	}
}

// environment puts ARNs where the template names what is not made yet.
func environment(template *resources.Template, parameters map[string]string, function string) (map[string]string, error) {
	stack, err := template.Evaluate(resources.Options{Parameters: parameters})
	if err != nil {
		return nil, err
	}
	block, _ := stack[function].Properties["Environment"].(map[string]any)
	variables, ok := block["Variables"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no variables", function)
	}
	environ := map[string]string{}
	for name, value := range variables {
		environ[name] = fmt.Sprint(value)
	}
	if _, created := stack["EventsTopic"]; created && environ["OUTBOX_DESTINATIONS"] != "" {
		environ["OUTBOX_DESTINATIONS"] = `{"default":"arn:aws:sns:us-east-1:111122223333:events.fifo"}`
	}
	return environ, nil
}
