package localstack_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/hostmode"
)

type service struct {
	Image       string
	Ports       []string
	Profiles    []string
	Healthcheck struct {
		Test []string
	}
}

func services(t *testing.T) map[string]service {
	t.Helper()
	data, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) == 0 {
		t.Fatal("compose.yaml has no services")
	}
	return file.Services
}

func TestComposePinsItsImages(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z]+(/[a-z]+)?:\d+(\.\d+)*$`)
	for name, s := range services(t) {
		if !pinned.MatchString(s.Image) {
			t.Errorf("image of %s is %q, want a numbered tag", name, s.Image)
		}
	}
}

func TestComposeRunsTheLocalStackOfHostMode(t *testing.T) {
	t.Parallel()
	if got, want := services(t)["localstack"].Image, "localstack/localstack:"+hostmode.Version; got != want {
		t.Errorf("image = %s, want %s", got, want)
	}
	if want := "localstack-core==" + hostmode.Version + "\n"; !strings.Contains(string(hostmode.Lock), want) {
		t.Errorf("the lock file does not hold %q", want)
	}
}

func TestComposeListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		if len(s.Ports) == 0 {
			t.Errorf("%s has no port", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s on every address", name, port)
			}
		}
	}
}

func TestComposeWaitsForWhatItStarts(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		if len(s.Profiles) == 0 && len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
}
