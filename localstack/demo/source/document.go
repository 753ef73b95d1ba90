package source

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// places has the paths, in JSON documents of code hosts, where the name of the repository or account (scopes) and the
// item can be. The first path that has a value counts.
type places struct {
	scopes []string
	items  []item
}

// item is where a document has an item: kind is what Delivery.Kind becomes, number and title are paths.
type item struct {
	kind, number, title string
}

// providers returns the places for all code hosts.
func providers() places {
	return places{
		scopes: []string{
			"repository.full_name",              // GitHub, Bitbucket, Gitea, Gogs
			"project.path_with_namespace",       // GitLab
			"repository.repo_name",              // Docker Hub
			"resource.repository.name",          // Azure DevOps
			"resource.definition.name",          // Azure DevOps builds
			"repository.slug",                   // Bitbucket Server
			"pullRequest.toRef.repository.slug", // Bitbucket Server
			"new.slug",                          // Bitbucket Server
			"path_with_namespace",               // GitLab system hooks
			"project_path_with_namespace",       // GitLab system hooks
			"repository.name",                   // GitLab system hooks
			"organization.login",                // GitHub organisations
			"installation.account.login",        // GitHub apps
			"group_path", "full_path", "path",   // GitLab groups
			"user_username", "username", "email", // GitLab users
			"sender.login", // GitHub accounts
		},
		items: []item{
			{"pull_request", "pull_request.number", "pull_request.title"}, // GitHub, Gitea
			{"issue", "issue.number", "issue.title"},                      // GitHub, Gitea, Gogs
			{"milestone", "milestone.number", "milestone.title"},          // GitHub
			{"pull_request", "pullrequest.id", "pullrequest.title"},       // Bitbucket
			{"pull_request", "pullRequest.id", "pullRequest.title"},       // Bitbucket Server
			{"issue", "issue.id", "issue.title"},                          // Bitbucket
			{"pull_request", "merge_request.iid", "merge_request.title"},  // GitLab
			{"issue", "issue.iid", "issue.title"},                         // GitLab
			{"pull_request", "resource.pullRequestId", "resource.title"},  // Azure DevOps
			{"pull_request", "number", "pull_request.title"},              // Gogs
		},
	}
}

// parse returns the delivery of the document body that provider sent for event. Where the document names no repository
// or account, the scope is the provider. It fails for a document that is no JSON object.
func parse(provider, event string, body []byte) (Delivery, error) {
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		return Delivery{}, fmt.Errorf("%s %s: %w", provider, event, err)
	}
	d := Delivery{Provider: provider, Event: strings.ReplaceAll(event, "-", "_"), Body: body}
	d.Action = text(doc, "action")
	if strings.ContainsAny(d.Action, " ") {
		d.Action = "" // Some documents have a name there.
	}
	p := providers()
	for _, path := range p.scopes {
		if d.Scope = text(doc, path); d.Scope != "" {
			break
		}
	}
	if d.Scope == "" {
		d.Scope = provider
	}
	for _, i := range p.items {
		if i.kind == "issue" && isPull(doc) {
			i.kind = "pull_request"
		}
		if d.Item = text(doc, i.number); d.Item != "" {
			d.Kind, d.Title = i.kind, text(doc, i.title)
			break
		}
	}
	d.gitLab(doc)
	return d, nil
}

// isPull reports whether what a document calls an issue is a pull request, as in comments on one.
func isPull(doc map[string]any) bool {
	_, inIssue := at(doc, "issue.pull_request").(map[string]any)
	flag, isFlag := at(doc, "is_pull").(bool)
	return inIssue || (isFlag && flag)
}

// gitLab sets item, title and action of a delivery of GitLab whose document has them in object_attributes, and
// does nothing for others.
func (d *Delivery) gitLab(doc map[string]any) {
	kinds := map[string]string{"issue": "issue", "merge_request": "pull_request"}
	kind, known := kinds[text(doc, "object_kind")]
	if d.Provider != "gitlab" || !known {
		return
	}
	if n := text(doc, "object_attributes.iid"); n != "" {
		d.Kind, d.Item, d.Title = kind, n, text(doc, "object_attributes.title")
	}
	if d.Action == "" {
		d.Action = text(doc, "object_attributes.action")
	}
}

// text returns the string or number at a path such as "issue.number", "" where there is neither.
func text(doc map[string]any, path string) string {
	switch v := at(doc, path).(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

func at(doc map[string]any, path string) any {
	var v any = doc
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}
