package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/python"
)

//go:embed inventory.py
var inventoryProgram string

// sam runs the real SAM command line in the folder root, with the environment env, which leads to the emulator.
// bin is the folder of its programs; what they print goes to log.
type sam struct {
	bin, root string
	env       []string
	log       io.Writer
}

func newSAM(ctx context.Context, root string, log io.Writer, e *emulator) (*sam, error) {
	bin, err := python.InstallTool(ctx, "sam", os.Stderr)
	if err != nil {
		return nil, err
	}
	s := &sam{bin: bin, root: root, log: log}
	for _, kv := range os.Environ() {
		// This machine's own AWS account must not be reached.
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "SAM_") {
			s.env = append(s.env, kv)
		}
	}
	s.env = append(s.env, "SAM_CLI_TELEMETRY=0", "AWS_ENDPOINT_URL="+e.url, "AWS_CA_BUNDLE="+e.cert.certFile,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	return s, nil
}

// printed is the output of a program: answer is its standard output, all is standard output and standard error
// as they came.
type printed struct{ answer, all string }

func (s *sam) run(ctx context.Context, env []string, program string, args ...string) (printed, error) {
	// Only two arguments are logged: the values of parameters have the database's URL.
	_, _ = fmt.Fprintf(s.log, "\n$ %s %s ...\n", program, strings.Join(args[:min(2, len(args))], " "))
	var out, all bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Env = s.root, slices.Concat(s.env, env)
	cmd.Stdout = io.MultiWriter(&out, &all, s.log)
	cmd.Stderr = io.MultiWriter(&all, s.log)
	if err := cmd.Run(); err != nil {
		const most = 3000
		text := all.String()
		return printed{}, fmt.Errorf("%s %s: %w\n%s", program, args[0], err, text[max(0, len(text)-most):])
	}
	return printed{answer: out.String(), all: all.String()}, nil
}

func (s *sam) build(ctx context.Context, dir, goarch string) error {
	_, err := s.run(ctx, []string{"LAMBDA_GOARCH=" + goarch}, "sam", "build", "--build-dir", dir)
	return err
}

// deploy runs sam deploy on what was built into dir, with the settings of an environment in samconfig.toml,
// which parameters override. It returns all that sam printed.
func (s *sam) deploy(ctx context.Context, dir, environment, stack string, parameters map[string]string) (said string, err error) {
	args := []string{
		"deploy", "--template-file", filepath.Join(dir, "template.yaml"), "--config-file", filepath.Join(s.root, "samconfig.toml"),
		"--config-env", environment, "--stack-name", stack, "--parameter-overrides",
	}
	for name, value := range parameters {
		args = append(args, name+"="+value)
	}
	out, err := s.run(ctx, nil, "sam", args...)
	return out.all, err
}

func (s *sam) delete(ctx context.Context, stack string) error {
	_, err := s.run(ctx, nil, "sam", "delete", "--no-prompts", "--stack-name", stack, "--region", region)
	return err
}

// ask runs a program and decodes the first JSON object or array that it prints into the pointer answer. The programs
// print other text before and after it.
func (s *sam) ask(ctx context.Context, answer any, program string, args ...string) error {
	out, err := s.run(ctx, nil, program, args...)
	if err != nil {
		return err
	}
	text := out.answer[max(0, strings.IndexAny(out.answer, "[{")):]
	if err := json.NewDecoder(strings.NewReader(text)).Decode(answer); err != nil {
		return fmt.Errorf("%s %s printed no JSON: %w: %s", program, args[0], err, text)
	}
	return nil
}

// outputs returns the outputs of a stack by key.
func (s *sam) outputs(ctx context.Context, stack string) (map[string]string, error) {
	var list []struct {
		OutputKey, OutputValue string
	}
	if err := s.ask(ctx, &list, "sam", "list", "stack-outputs", "--stack-name", stack, "--output", "json"); err != nil {
		return nil, err
	}
	outputs := make(map[string]string, len(list))
	for _, o := range list {
		outputs[o.OutputKey] = o.OutputValue
	}
	return outputs, nil
}

// invoke calls a function of the stack with event as JSON, and decodes its answer, which is JSON too, into the
// pointer answer. It fails when the function fails.
func (s *sam) invoke(ctx context.Context, stack, function string, event, answer any) error {
	encoded, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("invoke %s: %w", function, err)
	}
	var response struct {
		FunctionError string
		Payload       json.RawMessage
	}
	if err := s.ask(ctx, &response, "sam", "remote", "invoke", function, "--stack-name", stack,
		"--region", region, "--event", string(encoded), "--output", "json"); err != nil {
		return err
	}
	if response.FunctionError != "" {
		return fmt.Errorf("invoke %s: %s: %s", function, response.FunctionError, response.Payload)
	}
	payload := []byte(response.Payload)
	var text string
	if json.Unmarshal(payload, &text) == nil { // some versions print it as a string
		payload = []byte(text)
	}
	if err := json.Unmarshal(payload, answer); err != nil {
		return fmt.Errorf("invoke %s: %w: %s", function, err, payload)
	}
	return nil
}

// inventory lists the resources of the emulator, by kind (such as "queues") and name. The value is a text with the
// properties of the resource that are compared.
type inventory map[string]map[string]string

func (s *sam) inventory(ctx context.Context) (inventory, error) {
	var i inventory
	err := s.ask(ctx, &i, "python", "-c", inventoryProgram)
	return i, err
}

// logs returns the last 20 entries of each log stream of the emulator's functions, cut after 1,000 characters each.
func (s *sam) logs(ctx context.Context) (string, error) {
	out, err := s.run(ctx, nil, "python", "-c", inventoryProgram, "logs")
	return out.answer, err
}

// secret makes a secret with the text value in the emulator's Secrets Manager and returns its ARN.
func (s *sam) secret(ctx context.Context, name, value string) (string, error) {
	out, err := s.run(ctx, nil, "python", "-c", inventoryProgram, "secret", name, value)
	return strings.TrimSpace(out.answer), err
}
