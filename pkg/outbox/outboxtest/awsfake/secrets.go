package awsfake

import (
	"encoding/json"
	"strings"

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

// secretSuffix ends the ARN of each secret, where AWS has six random characters.
const secretSuffix = "-fake00"

// secretsManager carries out one call of the API of Secrets Manager. A secret is found by its name or ARN.
func (s *Server) secretsManager(operation, body string) answer {
	var in struct {
		Name         string
		SecretID     string `json:"SecretId"`
		SecretString string
		VersionStage string
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return jsonError(malformed(err))
	}
	p := s.faults.plan(operation, in.SecretID+in.Name, nil)
	if p.call != nil && p.call.Kind == FailCall {
		return jsonError(p.call.brokerError())
	}

	prefix := "arn:aws:secretsmanager:" + s.cfg.Region + ":" + s.cfg.Account + ":secret:"
	name := in.Name + strings.TrimSuffix(strings.TrimPrefix(in.SecretID, prefix), secretSuffix)
	s.mu.Lock()
	defer s.mu.Unlock()
	value, exists := s.secrets[name]
	out := map[string]any{"ARN": prefix + name + secretSuffix, "Name": name}
	fault := func(code, message string) answer {
		return jsonError(fakebroker.Fault(code, code, "%s", message))
	}
	switch {
	case operation == "CreateSecret" && exists:
		return fault("ResourceExistsException", "The operation failed because the secret "+name+" already exists.")
	case operation == "CreateSecret":
		s.secrets[name] = [2]string{in.SecretString}
	case !exists:
		return fault("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case operation == "PutSecretValue", operation == "UpdateSecret":
		s.secrets[name] = [2]string{in.SecretString, value[0]}
	case operation == "GetSecretValue":
		out["VersionStages"] = []string{"AWSCURRENT"}
		out["SecretString"] = value[0]
		if in.VersionStage == "AWSPREVIOUS" {
			out["VersionStages"] = []string{"AWSPREVIOUS"}
			out["SecretString"] = value[1]
		}
	case operation == "DeleteSecret":
		delete(s.secrets, name)
	case operation != "DescribeSecret":
		return fault("InvalidAction", "The action "+operation+" is not valid for this endpoint.")
	}
	a := jsonAnswer(out)
	a.mediaType = "application/x-amz-json-1.1"
	return a
}
