package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
)

// Webhooks is the source of the 154 documents of GitHub, GitLab, Gitea, Gogs, Bitbucket, Azure DevOps and
// Docker Hub that the tests of the Go module github.com/go-playground/webhooks (MIT) keep. The Go command
// fetches them.
type Webhooks struct{}

const webhooksModule = "github.com/go-playground/webhooks/v6@v6.4.0"

// String returns "webhook documents of" and the module with its version.
func (Webhooks) String() string { return "webhook documents of " + webhooksModule }

// Deliveries returns the documents, ordered by provider and event.
func (Webhooks) Deliveries(ctx context.Context) ([]Delivery, error) {
	out, err := run(ctx, "", "go", "mod", "download", "-json", webhooksModule)
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("%s: %w", webhooksModule, err)
	}
	return readTree(os.DirFS(module.Dir), "testdata")
}

// readTree returns a delivery for each document root/provider/event.json, ordered by provider and event. It
// fails when there are none.
func readTree(fsys fs.FS, root string) ([]Delivery, error) {
	names, err := fs.Glob(fsys, path.Join(root, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no documents in " + root)
	}
	deliveries := make([]Delivery, 0, len(names))
	for _, name := range names {
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		d, err := parse(path.Base(path.Dir(name)), strings.TrimSuffix(path.Base(name), ".json"), body)
		if err != nil {
			return nil, err
		}
		deliveries = append(deliveries, d)
	}
	return deliveries, nil
}

// run runs a program in the folder dir, in the current one for "", and returns its standard output. It fails when the
// program does; the error has what the program printed.
func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, complaint.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}
