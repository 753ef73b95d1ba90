package awsfake

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

// callerIdentity answers GetCallerIdentity of STS: any caller is the root user of
// the account.
func (s *Server) callerIdentity() answer {
	out := fakewire.AppendElement(nil, "Arn", "arn:aws:iam::"+s.cfg.Account+":root")
	out = fakewire.AppendElement(out, "UserId", s.cfg.Account)
	out = fakewire.AppendElement(out, "Account", s.cfg.Account)
	return xmlAnswer("https://sts.amazonaws.com/doc/2011-06-15/", "GetCallerIdentity", out)
}

// secrets has, by name, the current value of each secret and, behind it, the previous one, "" when there was
// none.
type secrets struct {
	mu     sync.Mutex
	values map[string][2]string
}

func newSecrets() *secrets { return &secrets{values: map[string][2]string{}} }

func (s *secrets) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = map[string][2]string{}
}

const secretSuffix = "-fake00"

func (s *Server) secretsManager(operation, body string) answer {
	var in struct {
		Name, SecretID, SecretString, VersionStage string
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		return jsonError(malformed(err))
	}
	in.Name, _ = fields["Name"].(string)
	in.SecretID, _ = fields["SecretId"].(string)
	in.SecretString, _ = fields["SecretString"].(string)
	in.VersionStage, _ = fields["VersionStage"].(string)
	p := s.faults.plan(operation, in.SecretID+in.Name, nil)
	if p.call != nil && p.call.Kind == FailCall {
		return jsonError(p.call.brokerError())
	}

	prefix := "arn:aws:secretsmanager:" + s.cfg.Region + ":" + s.cfg.Account + ":secret:"
	name := in.Name + strings.TrimSuffix(strings.TrimPrefix(in.SecretID, prefix), secretSuffix)
	s.secrets.mu.Lock()
	defer s.secrets.mu.Unlock()
	value, exists := s.secrets.values[name]
	out := map[string]any{"ARN": prefix + name + secretSuffix, "Name": name}
	fault := func(code, message string) answer {
		return jsonError(fakebroker.Fault(code, code, "%s", message))
	}
	switch {
	case operation == "CreateSecret" && exists:
		return fault("ResourceExistsException", "The operation failed because the secret "+name+" already exists.")
	case operation == "CreateSecret":
		s.secrets.values[name] = [2]string{in.SecretString}
	case !exists:
		return fault("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case operation == "PutSecretValue", operation == "UpdateSecret":
		s.secrets.values[name] = [2]string{in.SecretString, value[0]}
	case operation == "GetSecretValue":
		out["VersionStages"] = []string{"AWSCURRENT"}
		out["SecretString"] = value[0]
		if in.VersionStage == "AWSPREVIOUS" {
			out["VersionStages"] = []string{"AWSPREVIOUS"}
			out["SecretString"] = value[1]
		}
	case operation == "DeleteSecret":
		delete(s.secrets.values, name)
	case operation != "DescribeSecret":
		return fault("InvalidAction", "The action "+operation+" is not valid for this endpoint.")
	}
	a := jsonAnswer(out)
	a.mediaType = "application/x-amz-json-1.1"
	return a
}
