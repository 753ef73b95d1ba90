package source

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// Git is the source that reads the history of a repository on this machine: one delivery for each file that a commit
// touched, the oldest commit first, without merges.
type Git struct {
	// Path is the folder of the repository. Required.
	Path string
}

// String returns "the history of" and the path of the repository.
func (g Git) String() string { return "the history of " + g.Path }

// change is the document of a delivery of Git: one file of one commit.
type change struct {
	Commit  string `json:"commit"`
	Author  string `json:"author"`
	Date    string `json:"date"`
	Subject string `json:"subject"`
	Path    string `json:"path"`
	// From is the path before a rename, or of the original of a copy; "" for other changes.
	From   string `json:"from,omitempty"`
	Status string `json:"status"`
}

// Deliveries reads the history with git log. It fails when there are no commits.
func (g Git) Deliveries(ctx context.Context) ([]Delivery, error) {
	out, err := run(ctx, "", "git", "-C", g.Path, "log", "--reverse", "--no-merges", "--name-status", "-z", "--format=%x01%H%x02%an%x02%aI%x02%s%x02")
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(g.Path)
	if err != nil {
		return nil, err
	}
	var deliveries []Delivery
	for commit := range strings.SplitSeq(string(out), "\x01") {
		if commit == "" {
			continue
		}
		changes, err := parseCommit(commit)
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			body, err := json.Marshal(c)
			if err != nil {
				return nil, err
			}
			deliveries = append(deliveries, Delivery{
				Provider: "git", Event: "file", Action: c.Status,
				Scope: filepath.Base(root), Kind: "file", Item: c.Path, Title: c.Path, Body: body,
			})
		}
	}
	if len(deliveries) == 0 {
		return nil, fmt.Errorf("%s has no commits", g.Path)
	}
	return deliveries, nil
}

// parseCommit reads the changes of one commit from its text in the output of the git log that Deliveries runs: four
// fields, each ended by \x02, and then statuses and paths; a commit without files has no changes. It fails when a field
// or a status is missing. The Status of a letter that it does not know is "".
func parseCommit(text string) ([]change, error) {
	fields := strings.SplitN(text, "\x02", 5)
	if len(fields) != 5 {
		return nil, fmt.Errorf("git log: cannot read %q", text)
	}
	c := change{Commit: fields[0], Author: fields[1], Date: fields[2], Subject: fields[3]}
	words := strings.Split(strings.Trim(fields[4], "\x00\n"), "\x00")
	statuses := map[byte]string{'A': "added", 'M': "modified", 'D': "deleted", 'T': "retyped", 'R': "renamed", 'C': "copied"}
	var changes []change
	for len(words) >= 2 {
		letter := strings.TrimSpace(words[0])
		if letter == "" {
			return nil, fmt.Errorf("git log: cannot read %q", text)
		}
		c.Status, c.Path, c.From = statuses[letter[0]], words[1], ""
		words = words[2:]
		if (letter[0] == 'R' || letter[0] == 'C') && len(words) > 0 {
			c.From, c.Path = c.Path, words[0]
			words = words[1:]
		}
		changes = append(changes, c)
	}
	return changes, nil
}
