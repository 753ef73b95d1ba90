package source

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T, s Source) []Delivery {
	t.Helper()
	base, err := s.Deliveries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func TestWebhooksNameTheirAggregates(t *testing.T) {
	t.Parallel()
	base := load(t, Webhooks{})
	if len(base) != 154 {
		t.Errorf("%d documents, want 154", len(base))
	}
	got := map[string]string{}
	for _, d := range base {
		got[d.Type()] = d.AggregateType() + " " + d.AggregateID()
	}
	for eventType, want := range map[string]string{
		"github.issues.opened":                     "issue github/baxterthehacker/public-repo#2",
		"github.pull_request.opened":               "pull_request github/baxterthehacker/public-repo#1",
		"github.push":                              "repository github/binkkatal/sample_app",
		"github.membership.added":                  "repository github/baxterandthehackers",
		"github.milestone.created":                 "milestone github/baxterandthehackers/public-repo#3",
		"gitea.pull_request_comment_event.created": "pull_request gitea/example/example#2",
		"gitlab.issue_event.open":                  "issue gitlab/gitlabhq/gitlab-test#23",
		"gitlab.merge_request_event.open":          "pull_request gitlab/gitlabhq/gitlab-test#1",
		"gitlab.system_user_created":               "repository gitlab/js",
		"bitbucket.issue_created":                  "issue bitbucket/team_name/repo_name#1",
		"bitbucket-server.pr_merged":               "pull_request bitbucket-server/webhook-test#5",
		"azuredevops.git.pullrequest.created":      "pull_request azuredevops/Fabrikam#1",
		"docker.docker_hub_build_notice":           "repository docker/svendowideit/testhook",
		"gogs.pull_request_event.opened":           "pull_request gogs/user/repo#1",
	} {
		if got[eventType] != want {
			t.Errorf("%s is about %q, want %q", eventType, got[eventType], want)
		}
	}
}

func TestReplayMakesEnoughAggregatesOfWholeDocuments(t *testing.T) {
	t.Parallel()
	base := load(t, Webhooks{})
	const n = 5000
	aggregates, seen := map[string]bool{}, 0
	for d := range Replay(base, n, 1200, 1) {
		seen++
		aggregates[d.AggregateType()+d.AggregateID()] = true
		if !json.Valid(d.Body) {
			t.Fatalf("%s of %s is no JSON:\n%s", d.Type(), d.AggregateID(), d.Body)
		}
		again, err := parse(d.Provider, d.Event, d.Body)
		if err != nil {
			t.Fatal(err)
		}
		if again.AggregateID() != d.AggregateID() && d.Scope != d.Provider && !strings.HasPrefix(d.Scope, d.Provider+"-") {
			t.Fatalf("%s: the document is about %s, the delivery about %s", d.Type(), again.AggregateID(), d.AggregateID())
		}
	}
	if seen != n || len(aggregates) < 1200 {
		t.Errorf("%d deliveries over %d aggregates, want %d over at least 1200", seen, len(aggregates), n)
	}
}

func TestReplayIsRepeatable(t *testing.T) {
	t.Parallel()
	base := load(t, Webhooks{})
	ids := func(seed uint64) string {
		var b strings.Builder
		for d := range Replay(base, 400, 1200, seed) {
			fmt.Fprintln(&b, d.Type(), d.AggregateID())
		}
		return b.String()
	}
	if first, again := ids(1), ids(1); first != again {
		t.Error("the same seed gave another order")
	}
	if ids(1) == ids(2) {
		t.Error("another seed gave the same order")
	}
}

func TestRenameLeavesKeysAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ doc, from, to, want string }{
		"whole strings": {`{"user": "user", "b": ["user", "users"]}`, "user", "user-1", `{"user": "user-1", "b": ["user-1", "users"]}`},
		"key and space": {`{"user"  : 1}`, "user", "x", `{"user"  : 1}`},
		"addresses":     {`{"url": "https://h/a/b/c"}`, "a/b", "a/b-1", `{"url": "https://h/a/b-1/c"}`},
		"absent":        {`{}`, "user", "x", `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(rename([]byte(tt.doc), tt.from, tt.to)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestGitReadsEveryChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=Ann", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)
		if _, err := run(t.Context(), dir, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("a b.txt", strings.Repeat("line\n", 20))
	write("é.txt", "1")
	git("add", ".")
	git("commit", "-qm", "first: two files")
	git("mv", "a b.txt", "c.txt")
	write("é.txt", "2")
	git("commit", "-qam", "second")
	git("rm", "-q", "c.txt")
	git("commit", "-qm", "third")
	var got []string
	for _, d := range load(t, Git{Path: dir}) {
		var c change
		if err := json.Unmarshal(d.Body, &c); err != nil {
			t.Fatal(err)
		}
		got = append(got, c.Subject+"|"+d.Action+"|"+d.Item+"|"+c.From)
	}
	want := []string{
		"first: two files|added|a b.txt|", "first: two files|added|é.txt|",
		"second|renamed|c.txt|a b.txt", "second|modified|é.txt|", "third|deleted|c.txt|",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestInOrderStopsAtTheEnd(t *testing.T) {
	t.Parallel()
	base := []Delivery{{Item: "1"}, {Item: "2"}, {Item: "3"}}
	for n, want := range map[int]int{0: 0, 2: 2, 9: 3} {
		if got := len(slices.Collect(InOrder(base, n))); got != want {
			t.Errorf("InOrder(%d) yields %d, want %d", n, got, want)
		}
	}
	if got := maps.Collect(slices.All(slices.Collect(InOrder(base, 2)))); got[1].Item != "2" {
		t.Errorf("second = %+v", got[1])
	}
}

func TestNPMReadsThePackageInItsCache(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	dir := cache + "/node_modules/@octokit/webhooks-examples/api.github.com"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	index := `[{"name":"issues","examples":[{"action":"opened","issue":{"number":7},"repository":{"full_name":"a/b"}},{"action":"closed","issue":{"number":7},"repository":{"full_name":"a/b"}}]}]`
	if err := os.WriteFile(dir+"/index.json", []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range load(t, NPM{Cache: cache}) {
		got = append(got, d.Type()+" "+d.AggregateID())
	}
	if want := []string{"github.issues.opened github/a/b#7", "github.issues.closed github/a/b#7"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
