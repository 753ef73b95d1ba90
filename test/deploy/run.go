package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	region = "us-east-1"
	stack  = "outbox-local"
)

// run makes the steps one after the other, and stops at the first that fails. It must start in the root of the
// repository. The folder with logs and build is removed when all steps passed and keep is not set.
func run(ctx context.Context, keep bool) (err error) {
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	if _, err = os.Stat(filepath.Join(root, "template.yaml")); err != nil {
		return fmt.Errorf("run it in the root of the repository: %w", err)
	}
	dir, err := os.MkdirTemp("", "outbox-deploy-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	w, start := &world{root: root, dir: dir}, time.Now()
	defer func() {
		err = errors.Join(err, w.close())
		if err == nil && !keep {
			err = os.RemoveAll(dir)
			return
		}
		fmt.Fprintf(os.Stderr, "logs and build are in %s\n", dir)
	}()
	for _, step := range []struct {
		name string
		take func(context.Context) error
	}{
		{"PostgreSQL with the schema and a login for each function", w.openDatabase},
		{"the emulator, with TLS and IAM enforced", w.openEmulator},
		{"sam build", w.build},
		{"sam deploy", w.deploy},
		{"the schedule starts the relay, which drains into topic and queues", func(ctx context.Context) error {
			return w.drain(ctx, "BillingQueueUrl", "ShippingQueueUrl")
		}},
		{"a poisoned consumer fills the dead-letter queue", w.poison},
		{"sam remote invoke RedriveFunction brings it back", w.redrive},
		{"sam remote invoke JanitorFunction archives", w.archive},
		{"sam deploy again changes nothing", w.deployAgain},
		{"an update deploys", w.update},
		{"sam delete leaves what is retained on purpose", w.remove},
	} {
		began := time.Now()
		if err := step.take(ctx); err != nil {
			if w.sam != nil {
				// The functions' logs explain more, where they can be read.
				logs, _ := w.sam.logs(context.WithoutCancel(ctx))
				fmt.Fprintln(os.Stderr, logs)
			}
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("ok  %5.1f s  %s\n", time.Since(began).Seconds(), step.name)
	}
	fmt.Printf("all passed in %.0f s\n", time.Since(start).Seconds())
	return nil
}

func (w *world) build(ctx context.Context) error {
	return w.sam.build(ctx, w.built(), runtime.GOARCH)
}

func (w *world) built() string { return filepath.Join(w.dir, "build") }

// parameters returns the stack's parameters by name, as samconfig.toml would have them.
func (w *world) parameters() map[string]string {
	architecture := "arm64"
	if runtime.GOARCH == "amd64" {
		architecture = "x86_64"
	}
	parameters := map[string]string{
		"EndpointUrl": w.emulator.url, "Architecture": architecture,
		"ArchiveRetention": "2160h", "ExportBucket": "create",
	}
	maps.Copy(parameters, w.logins)
	return parameters
}

func (w *world) deploy(ctx context.Context) error {
	var err error
	if w.before, err = w.sam.inventory(ctx); err != nil {
		return err
	}
	if _, err = w.sam.deploy(ctx, w.built(), "dev", stack, w.parameters()); err != nil {
		return err
	}
	if w.outputs, err = w.sam.outputs(ctx, stack); err != nil {
		return err
	}
	there, err := w.sam.inventory(ctx)
	if err != nil {
		return err
	}
	for kind, want := range map[string]int{"functions": 3, "roles": 4, "schedules": 5, "buckets": 2, "log groups": 3, "topics": 1, "subscriptions": 2, "queues": 6, "dashboards": 1} {
		if got := len(there[kind]) - len(w.before[kind]); got != want {
			return fmt.Errorf("%d %s, want %d: %v", got, kind, want, there[kind])
		}
	}
	return nil
}

// redeploy deploys the stack again with the given parameters. It returns all that sam printed, and the difference
// that the deployment made to the resources.
func (w *world) redeploy(ctx context.Context, parameters map[string]string) (said string, changes []string, err error) {
	before, err := w.sam.inventory(ctx)
	if err != nil {
		return "", nil, err
	}
	if said, err = w.sam.deploy(ctx, w.built(), "dev", stack, parameters); err != nil {
		return "", nil, err
	}
	after, err := w.sam.inventory(ctx)
	return said, difference(before, after), err
}

func (w *world) deployAgain(ctx context.Context) error {
	said, changes, err := w.redeploy(ctx, w.parameters())
	if err != nil {
		return err
	}
	if !strings.Contains(said, "No changes to deploy") {
		return fmt.Errorf("it did not say that there are no changes: %s", said)
	}
	if len(changes) > 0 {
		return fmt.Errorf("something changed: %s", strings.Join(changes, "; "))
	}
	return nil
}

func (w *world) update(ctx context.Context) error {
	parameters := w.parameters()
	parameters["RelayMemory"], parameters["Relays"] = "896", "4"
	_, changes, err := w.redeploy(ctx, parameters)
	if err != nil {
		return err
	}
	if len(changes) != 2 || !strings.Contains(changes[0], "RelayFunction") || !strings.Contains(changes[0], "896 MB") ||
		!strings.Contains(changes[1], "SecondTick") || !strings.Contains(changes[1], "DISABLED -> ENABLED") {
		return fmt.Errorf("want the relay's memory and its second tick to change, not: %s", strings.Join(changes, "; "))
	}
	// The functions still work: events that are written now arrive.
	return w.drain(ctx, "ShippingQueueUrl")
}

// retained reports whether a resource is to stay when the stack is deleted: the bucket of the archive, and
// SAM's managed bucket, which all stacks of a region share.
func retained(kind, name string) bool {
	return kind == "buckets" && (strings.HasPrefix(name, "aws-sam-cli-managed-") || strings.Contains(name, "archivebucket"))
}

func (w *world) remove(ctx context.Context) error {
	if err := w.sam.delete(ctx, stack); err != nil {
		return err
	}
	after, err := w.sam.inventory(ctx)
	if err != nil {
		return err
	}
	var left []string
	for kind, names := range after {
		for name := range names {
			if _, was := w.before[kind][name]; !was && !retained(kind, name) {
				left = append(left, kind+" "+name)
			}
		}
	}
	if len(left) > 0 {
		slices.Sort(left)
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(after["buckets"])), func(name string) bool { return strings.Contains(name, "archivebucket") }) {
		return fmt.Errorf("the bucket of the exports is gone: %v", after["buckets"])
	}
	return nil
}

// difference returns a line for each resource that is new, gone or changed in the second of two inventories,
// sorted.
func difference(before, after inventory) []string {
	var lines []string
	for kind := range after {
		for name, now := range after[kind] {
			if was, there := before[kind][name]; !there {
				lines = append(lines, kind+" "+name+" is new")
			} else if was != now {
				lines = append(lines, kind+" "+name+": "+was+" -> "+now)
			}
		}
		for name := range before[kind] {
			if _, there := after[kind][name]; !there {
				lines = append(lines, kind+" "+name+" is gone")
			}
		}
	}
	slices.Sort(lines)
	return lines
}
