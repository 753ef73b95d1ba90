package source

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// NPM is the source of the 329 documents of GitHub in the npm package @octokit/webhooks-examples (MIT), which the npm
// client fetches.
type NPM struct {
	// Cache is the folder that the package is kept in. Required; it is made when it is missing.
	Cache string
}

const npmPackage = "@octokit/webhooks-examples@7.6.1"

// String returns "webhook documents of the npm package" and the package with its version.
func (NPM) String() string { return "webhook documents of the npm package " + npmPackage }

// Deliveries returns the documents, grouped by event. It runs npm install when the package is not in the cache.
func (n NPM) Deliveries(ctx context.Context) ([]Delivery, error) {
	index := filepath.Join(n.Cache, "node_modules", "@octokit", "webhooks-examples", "api.github.com", "index.json")
	if _, err := os.Stat(index); err != nil {
		if err := os.MkdirAll(n.Cache, 0o755); err != nil {
			return nil, err
		}
		if _, err := run(ctx, n.Cache, "npm", "install", "--prefix", n.Cache, "--no-audit", "--no-fund", "--ignore-scripts", npmPackage); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(index)
	if err != nil {
		return nil, err
	}
	var events []struct {
		Name     string
		Examples []json.RawMessage
	}
	if err := json.Unmarshal(b, &events); err != nil {
		return nil, fmt.Errorf("%s: %w", npmPackage, err)
	}
	var deliveries []Delivery
	for _, e := range events {
		for _, body := range e.Examples {
			d, err := parse("github", e.Name, body)
			if err != nil {
				return nil, err
			}
			deliveries = append(deliveries, d)
		}
	}
	return deliveries, nil
}
