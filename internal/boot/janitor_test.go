package boot

import (
	"strings"
	"testing"
)

func janitorEnviron(more ...string) map[string]string {
	m := environ(more...)
	delete(m, "OUTBOX_DESTINATIONS")
	return m
}

// What the engine says about its fields is said about the variables.
func TestTheJanitorNamesTheVariablesAtFault(t *testing.T) {
	t.Parallel()
	for want, environ := range map[string]map[string]string{
		"OUTBOX_EXPORT_BUCKET: ":                         janitorEnviron("OUTBOX_EXPORT_BUCKET", "b"),
		"OUTBOX_EXPORT_PREFIX: ":                         janitorEnviron("OUTBOX_EXPORT_PREFIX", "p"),
		"OUTBOX_ALARM_AGE: must be at least 1s, is 10ms": janitorEnviron("OUTBOX_ALARM_AGE", "10ms"),
		"OUTBOX_ARCHIVE_RETENTION: is 2h0m0s, must be at least 3h0m0s (OUTBOX_RETENTION)": janitorEnviron("OUTBOX_ARCHIVE_RETENTION", "2h", "OUTBOX_RETENTION", "3h"),
		"OUTBOX_AHEAD: is 33, must be at most 32":                                         janitorEnviron("OUTBOX_AHEAD", "33"),
		"OUTBOX_KEEP_PARTITIONS: must be 1 to 10000, is -1":                               janitorEnviron("OUTBOX_KEEP_PARTITIONS", "-1"),
	} {
		_, err := Parse[Janitor](environ)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "MaxAhead") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
