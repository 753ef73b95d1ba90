package boot

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestRedriveNeedsNothingButAQueue(t *testing.T) {
	t.Parallel()
	r, err := Parse[Redrive](map[string]string{})
	if err != nil || r.HasDatabase() || r.Margin != 12*time.Second || r.Receivers != 4 || r.Visibility != time.Minute {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestRedriveNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := Parse[Redrive](map[string]string{
		"OUTBOX_REDRIVE_MARGIN": "10s", "OUTBOX_REDRIVE_RECEIVERS": "-1", "OUTBOX_REDRIVE_VISIBILITY": "2h",
		"OUTBOX_DATABASE_URL": "postgres://%", "OUTBOX_DATABASE_MAX_CONNS": "0",
	})
	for _, want := range []string{
		"OUTBOX_REDRIVE_MARGIN", "OUTBOX_REDRIVE_RECEIVERS", "OUTBOX_REDRIVE_VISIBILITY", "OUTBOX_DATABASE_URL", "OUTBOX_DATABASE_MAX_CONNS",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// The table in the document is the tags of the struct. Process and Database are
// those of the relay, in docs/configuration.md.
func TestRedriveConfigurationIsDocumented(t *testing.T) {
	t.Parallel()
	const path = "../../docs/redrive.md"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	documented := 0
	for _, v := range Variables[Redrive]() {
		if !strings.HasPrefix(v.Name, "OUTBOX_REDRIVE_") {
			continue
		}
		documented++
		def := ""
		if v.Default != "" {
			def = "`" + v.Default + "`"
		}
		if line := "| `" + v.Name + "` | " + def + " | " + v.Help + ". |\n"; !strings.Contains(string(content), line) {
			t.Errorf("%s lacks the line:\n%s", path, line)
		}
	}
	if documented != 4 {
		t.Errorf("%d variables", documented)
	}
}
