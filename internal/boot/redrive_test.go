package boot

import (
	"strings"
	"testing"
)

func TestRedriveNeedsNothing(t *testing.T) {
	t.Parallel()
	r, err := Parse[Redrive](map[string]string{})
	if err != nil || r.HasDatabase() {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestRedriveNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := Parse[Redrive](map[string]string{
		"OUTBOX_LOG_LEVEL": "loud", "OUTBOX_DATABASE_TLS": "none", "OUTBOX_DATABASE_URL": "postgres://%",
	})
	for _, want := range []string{"OUTBOX_LOG_LEVEL", "OUTBOX_DATABASE_TLS", "OUTBOX_DATABASE_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
