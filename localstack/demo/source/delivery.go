// Package source brings real input to the demo: documents that code hosts sent to webhooks, and the history of Git
// repositories.
package source

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
)

// Source is a finite input of the demo.
type Source interface {
	// Deliveries returns the input in its order. The first call may fetch the input from the network.
	Deliveries(ctx context.Context) ([]Delivery, error)
	// String says in a few words where the input comes from.
	String() string
}

// Delivery is one change of a repository or account, as a code host reports it to a webhook or as [Git] reads it.
type Delivery struct {
	// Provider is the code host that reports the change, such as "github", or "git" for a change that [Git] read from
	// the history of a repository.
	Provider string
	// Event and Action say what happened, such as "issues" and "opened". The action may be empty.
	Event, Action string
	// Scope is the name of the repository, or of the account where there is no repository.
	Scope string
	// Kind and Item name the thing inside the repository that the change is about, such as "issue" and "12".
	// Both are empty when it is about the repository itself.
	Kind, Item string
	// Title is the title of the item. It may be empty.
	Title string
	// Body is the document that the provider sent, or that package source made of a commit. Replay renames the
	// repository in it.
	Body json.RawMessage
}

// AggregateType returns the kind of the item, and "repository" when the change is about no item.
func (d *Delivery) AggregateType() string {
	if d.Kind == "" {
		return "repository"
	}
	return d.Kind
}

// AggregateID returns the provider, the repository and, if there is one, the item, such as
// "github/owner/name#12".
func (d *Delivery) AggregateID() string {
	id := d.Provider + "/" + d.Scope
	if d.Item != "" {
		id += "#" + d.Item
	}
	return id
}

// Type returns what happened, such as "github.issues.opened".
func (d *Delivery) Type() string {
	if d.Action == "" {
		return d.Provider + "." + d.Event
	}
	return d.Provider + "." + d.Event + "." + d.Action
}

// inScope returns a copy of the delivery as if it came from the repository called scope: Scope is another, and the
// name is replaced in the document.
func (d *Delivery) inScope(scope string) Delivery {
	moved := *d
	moved.Scope = scope
	moved.Body = rename(d.Body, d.Scope, scope)
	return moved
}

// rename returns a copy of a JSON document with the name from replaced by to: everywhere when from has a slash, so
// that addresses change with it, and otherwise only where it is a whole string and no key.
func rename(doc []byte, from, to string) []byte {
	if strings.Contains(from, "/") {
		return bytes.ReplaceAll(doc, []byte(from), []byte(to))
	}
	quoted := []byte(`"` + from + `"`)
	var out []byte
	for {
		before, after, found := bytes.Cut(doc, quoted)
		out = append(out, before...)
		if !found {
			return out
		}
		if rest := bytes.TrimLeft(after, " \t\r\n"); len(rest) > 0 && rest[0] == ':' {
			out = append(out, quoted...)
		} else {
			out = append(out, `"`+to+`"`...)
		}
		doc = after
	}
}
