package resources

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// everything are parameters that turn every condition of a stack on that makes
// its own messaging. theirs are those of a stack between existing destinations.
var (
	everything = map[string]string{
		"DatabaseSecretArn": "secret", "DatabaseSecretKeyArn": "secret-key", "DatabaseIamUserArn": "iam",
		"JanitorDatabaseSecretArn": "janitor-secret", "JanitorDatabaseIamUserArn": "janitor-iam",
		"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1", "KmsKeyArn": "key", "OtelLayerArn": "layer",
		"ArchiveRetention": "24h", "ExportBucket": "create", "DeadLetterQueueArns": "dlq", "RedriveQueueArns": "queue",
	}
	theirs = map[string]string{
		"DatabaseUrl": "postgres://db", "Destinations": "{}", "DestinationTopicArns": "topic", "DestinationQueueArns": "queue",
		"DestinationKeyArns": "destination-key", "ArchiveRetention": "24h", "ExportBucket": "bucket",
		"DeadLetterQueueArns": "dlq", "RedriveQueueArns": "queue", "RedriveDatabaseSecretArn": "redrive-secret",
	}
)

const vpc = `
Allow ec2:AssignPrivateIpAddresses *
Allow ec2:CreateNetworkInterface *
Allow ec2:DeleteNetworkInterface *
Allow ec2:DescribeNetworkInterfaces *
Allow ec2:DescribeSubnets *
Allow ec2:UnassignPrivateIpAddresses *
Deny ec2:AssignPrivateIpAddresses * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
Deny ec2:CreateNetworkInterface * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
Deny ec2:DeleteNetworkInterface * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
Deny ec2:DescribeNetworkInterfaces * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
Deny ec2:DescribeSubnets * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
Deny ec2:UnassignPrivateIpAddresses * if map[ArnLike:map[lambda:SourceFunctionArn:arn:aws:lambda:us-east-1:000000000000:function:*]]
`

// allowed is all that each role may do, by the set of parameters.
func allowed() map[string]map[string]string {
	empty := func(queue string) string {
		var b strings.Builder
		for _, action := range []string{"ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "ReceiveMessage"} {
			fmt.Fprintf(&b, "Allow sqs:%s %s\n", action, queue)
		}
		return b.String()
	}
	fill := func(queue string) string {
		return "Allow sqs:GetQueueAttributes " + queue + "\nAllow sqs:GetQueueUrl " + queue + "\nAllow sqs:SendMessage " + queue + "\n"
	}
	key := func(name string) string {
		return "Allow kms:Decrypt " + name + "\nAllow kms:GenerateDataKey " + name + "\n"
	}
	logs := func(function string) string {
		return "Allow logs:CreateLogStream ${" + function + "LogGroup.Arn}\nAllow logs:PutLogEvents ${" + function + "LogGroup.Arn}\n"
	}
	const find = "Allow sns:GetSubscriptionAttributes *\nAllow sns:ListSubscriptions *\n"
	const invoke = "Allow lambda:InvokeFunction ${JanitorFunction.Arn}\nAllow lambda:InvokeFunction ${RelayFunction.Arn}\n"
	return map[string]map[string]string{
		"everything": {
			"SchedulerRole": invoke,
			"RelayRole": logs("Relay") + vpc + key("key") + `
				Allow sns:GetTopicAttributes ${EventsTopic}
				Allow sns:Publish ${EventsTopic}
				Allow sqs:GetQueueAttributes ${AuditQueue.Arn}
				Allow sqs:SendMessage ${AuditQueue.Arn}
				Allow secretsmanager:GetSecretValue secret
				Allow kms:Decrypt secret-key
				Allow rds-db:connect iam
				Allow xray:PutTelemetryRecords *
				Allow xray:PutTraceSegments *`,
			"RedriveRole": logs("Redrive") + vpc + key("key") +
				empty("${BillingDeadLetters.Arn}") + empty("${ShippingDeadLetters.Arn}") + empty("${AuditDeadLetters.Arn}") + empty("dlq") +
				fill("${BillingQueue.Arn}") + fill("${ShippingQueue.Arn}") + fill("${AuditQueue.Arn}") + fill("queue") + find + `
				Allow secretsmanager:GetSecretValue secret
				Allow kms:Decrypt secret-key
				Allow rds-db:connect iam`,
			"JanitorRole": logs("Janitor") + vpc + key("key") + `
				Allow s3:GetObject ${ArchiveBucket.Arn}/*
				Allow s3:ListBucket ${ArchiveBucket.Arn}
				Allow s3:PutObject ${ArchiveBucket.Arn}/*
				Allow secretsmanager:GetSecretValue janitor-secret
				Allow kms:Decrypt secret-key
				Allow rds-db:connect janitor-iam`,
		},
		"theirs": {
			"SchedulerRole": invoke,
			"RelayRole": logs("Relay") + key("destination-key") + `
				Allow sns:GetTopicAttributes topic
				Allow sns:Publish topic
				Allow sqs:GetQueueAttributes queue
				Allow sqs:SendMessage queue`,
			"RedriveRole": logs("Redrive") + key("destination-key") + empty("dlq") + fill("queue") + find +
				"Allow secretsmanager:GetSecretValue redrive-secret",
			"JanitorRole": logs("Janitor") + `
				Allow s3:GetObject arn:aws:s3:::bucket/*
				Allow s3:ListBucket arn:aws:s3:::bucket
				Allow s3:PutObject arn:aws:s3:::bucket/*`,
		},
	}
}

func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return list
}

// many returns the elements of v: a list, or a value that stands alone.
func many(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var texts []string
	for _, item := range list {
		texts = append(texts, text(item))
	}
	return texts
}

// permissions returns what the statements of a role allow, one action and resource each.
func permissions(role Resource, note func(string, ...any)) []string {
	var list []string
	if role.Properties["ManagedPolicyArns"] != nil {
		note("it has managed policies")
	}
	policies, _ := role.Properties["Policies"].([]any)
	for _, policy := range policies {
		p, _ := policy.(map[string]any)
		document, err := mapping(p, "PolicyDocument")
		if err != nil {
			note("%v", err)
		}
		statements, _ := document["Statement"].([]any)
		for _, statement := range statements {
			s, ok := statement.(map[string]any)
			if !ok || s["NotAction"] != nil || s["NotResource"] != nil {
				note("statement %v", statement)
				continue
			}
			condition := ""
			if s["Condition"] != nil {
				condition = fmt.Sprintf(" if %v", s["Condition"])
			}
			for _, action := range many(s["Action"]) {
				for _, resource := range many(s["Resource"]) {
					list = append(list, text(s["Effect"])+" "+action+" "+resource+condition)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// policyFaults compares what the roles may do with what is listed here.
func policyFaults(t *Template) []string {
	var found []string
	for set, parameters := range map[string]map[string]string{"everything": everything, "theirs": theirs} {
		stack, err := t.Evaluate(Options{Parameters: parameters})
		if err != nil {
			return []string{err.Error()}
		}
		want := allowed()[set]
		roles := map[string]bool{}
		for id, r := range stack {
			note := func(format string, args ...any) { found = append(found, set+": "+id+": "+fmt.Sprintf(format, args...)) }
			switch r.Type {
			case "AWS::IAM::Role":
				roles[id] = true
				got, expected := permissions(r, note), lines(want[id])
				if !slices.Equal(got, expected) {
					note("is allowed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
				}
				for _, line := range got {
					fields := strings.Fields(line)
					wide := fields[2] == "*" && !strings.HasPrefix(fields[1], "ec2:") && !strings.HasPrefix(fields[1], "xray:") &&
						fields[1] != "sns:GetSubscriptionAttributes" && fields[1] != "sns:ListSubscriptions"
					if fields[0] == "Allow" && (strings.Contains(fields[1], "*") || wide) {
						note("wildcard in %s", line)
					}
				}
			case "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::Lambda::Permission":
				note("a policy besides those of the roles")
			case "AWS::Serverless::Function":
				if r.Properties["Policies"] != nil || r.Properties["Role"] != "${"+strings.TrimSuffix(id, "Function")+"Role.Arn}" {
					note("does not run as its own role alone")
				}
			}
		}
		for id := range want {
			if !roles[id] {
				found = append(found, set+": "+id+" is missing")
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestEachFunctionMayDoWhatIsListedAndNothingElse(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range policyFaults(template) {
		t.Error(fault)
	}
}

// mutate replaces the first old in the real template behind the text after.
func mutate(t *testing.T, after, old, with string) *Template {
	t.Helper()
	source, err := os.ReadFile(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(source), after)
	if !ok || !strings.Contains(rest, old) {
		t.Fatalf("the template has no %q behind %q", old, after)
	}
	template, err := Parse([]byte(head + after + strings.Replace(rest, old, with, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestEveryWideningOfAPolicyIsFound(t *testing.T) {
	t.Parallel()
	for name, m := range map[string][3]string{
		"an action more":           {"RelayRole:", "[sns:GetTopicAttributes, sns:Publish]", "[sns:GetTopicAttributes, sns:Publish, sns:Subscribe]"},
		"a wildcard action":        {"RelayRole:", "[sqs:GetQueueAttributes, sqs:SendMessage]", "sqs:*"},
		"a wildcard resource":      {"RelayRole:", "Resource: !Ref DatabaseSecretArn", `Resource: "*"`},
		"another's queue":          {"RelayRole:", "[!GetAtt AuditQueue.Arn]", "[!GetAtt AuditQueue.Arn, !GetAtt BillingQueue.Arn]"},
		"another's logs":           {"RedriveRole:", "RedriveLogGroup.Arn", "RelayLogGroup.Arn"},
		"the denial taken away":    {"JanitorRole:", "Effect: Deny", "Effect: Allow"},
		"deleting exports":         {"JanitorRole:", "[s3:GetObject, s3:PutObject]", "[s3:GetObject, s3:PutObject, s3:DeleteObject]"},
		"a managed policy":         {"RelayRole:", "Properties:", "Properties:\n      ManagedPolicyArns: [arn:aws:iam::aws:policy/AdministratorAccess]"},
		"everything but":           {"RelayRole:", "Action: secretsmanager:GetSecretValue", "NotAction: secretsmanager:DeleteSecret"},
		"the schedule's reach":     {"SchedulerRole:", "- !GetAtt JanitorFunction.Arn", "- !GetAtt RedriveFunction.Arn"},
		"a policy of SAM's":        {"JanitorFunction:", "Role: !GetAtt JanitorRole.Arn", "Policies: [AmazonS3FullAccess]"},
		"another function's role":  {"JanitorFunction:", "JanitorRole.Arn", "RedriveRole.Arn"},
		"less than what is needed": {"RedriveRole:", "- sqs:DeleteMessage\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := mutate(t, "  "+m[0], m[1], m[2])
			if len(policyFaults(template)) == 0 {
				t.Error("it was not found")
			}
		})
	}
}

// Policies of queues and topics let SNS send the topic's messages, refuse calls without TLS, and nothing else.
func TestResourcePoliciesLetInTheTopicAlone(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := template.Evaluate(Options{Parameters: everything})
	if err != nil {
		t.Fatal(err)
	}
	secured := map[string]bool{}
	for id, r := range stack {
		if !slices.Contains([]string{"AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy"}, r.Type) {
			continue
		}
		document, err := mapping(r.Properties, "PolicyDocument")
		if err != nil {
			t.Fatal(err)
		}
		statements, _ := document["Statement"].([]any)
		for _, statement := range statements {
			s, _ := statement.(map[string]any)
			got := fmt.Sprintf("%v %v %v %v", s["Effect"], s["Principal"], s["Action"], s["Condition"])
			if s["Effect"] == "Allow" {
				if got != "Allow map[Service:sns.amazonaws.com] sqs:SendMessage map[ArnEquals:map[aws:SourceArn:${EventsTopic}]]" {
					t.Errorf("%s lets in: %s", id, got)
				}
				continue
			}
			if s["Principal"] != "*" || fmt.Sprint(s["Condition"]) != "map[Bool:map[aws:SecureTransport:false]]" {
				t.Errorf("%s refuses: %s", id, got)
			}
			for _, resource := range many(s["Resource"]) {
				secured[resource] = true
			}
		}
	}
	want := []string{"${ArchiveBucket.Arn}", "${ArchiveBucket.Arn}/*", "${EventsTopic}"}
	for id, r := range stack {
		if r.Type == "AWS::SQS::Queue" {
			want = append(want, "${"+id+".Arn}")
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(secured)); !slices.Equal(got, want) {
		t.Errorf("TLS is demanded for %v, want %v", got, want)
	}
}

func TestEverythingIsEncryptedByTheKeyThatIsGiven(t *testing.T) {
	t.Parallel()
	template, err := Load(templatePath)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]map[string]string{
		"": {
			"AWS::SNS::Topic": "KmsMasterKeyId:alias/aws/sns", "AWS::SQS::Queue": "SqsManagedSseEnabled:true",
			"AWS::S3::Bucket": "SSEAlgorithm:AES256",
		},
		"mine": {
			"AWS::SNS::Topic": "KmsMasterKeyId:mine", "AWS::SQS::Queue": "KmsMasterKeyId:mine",
			"AWS::S3::Bucket": "KMSMasterKeyID:mine", "AWS::Logs::LogGroup": "KmsKeyId:mine",
		},
	} {
		parameters := maps.Clone(everything)
		parameters["KmsKeyArn"] = key
		stack, err := template.Evaluate(Options{Parameters: parameters})
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for id, r := range stack {
			if property, ok := want[r.Type]; ok {
				checked++
				if got := fmt.Sprint(r.Properties); !strings.Contains(got, property) {
					t.Errorf("key %q: %s has no %s: %s", key, id, property, got)
				}
			}
		}
		if checked < 8 {
			t.Errorf("key %q: %d resources checked", key, checked)
		}
	}
}
