// Package source brings real input to the demo: documents that code hosts sent
// to webhooks, and the history of Git repositories.
package source

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
)

// Source is a finite input.
type Source interface {
	// Deliveries returns the input in its order. The first call may fetch the input.
	Deliveries(ctx context.Context) ([]Delivery, error)
	// String says in a few words where the input comes from.
	String() string
}

// Delivery is one change of a repository or account, as a webhook reports it.
type Delivery struct {
	// Provider is the service that reports it, such as "github".
	Provider string
	// Event and Action say what happened, such as "issues" and "opened". The
	// action may be empty.
	Event, Action string
	// Scope is the repository, or the account where there is none.
	Scope string
	// Kind and Item name the thing inside the repository, such as "issue" and
	// "12". Both are empty when it is about the repository itself.
	Kind, Item string
	// Title is the title of the item. It may be empty.
	Title string
	// Body is the document as it was sent.
	Body json.RawMessage
}

// AggregateType returns "repository", or the kind of the item.
func (d *Delivery) AggregateType() string {
	if d.Kind == "" {
		return "repository"
	}
	return d.Kind
}

// AggregateID returns the provider, the repository and the item.
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

// inScope returns the delivery as if it came from another repository. Nothing
// else of the document changes.
func (d *Delivery) inScope(scope string) Delivery {
	moved := *d
	moved.Scope = scope
	moved.Body = rename(d.Body, d.Scope, scope)
	return moved
}

// rename replaces a name in a JSON document: everywhere when the name has a slash, so that
// addresses change with it, and otherwise only where it is a whole string and no key.
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
