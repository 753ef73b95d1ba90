package boot

import (
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Whatever a variable holds, the error names a variable and shows no secret, and
// what is taken is taken by the engine too.
func FuzzConfiguration(f *testing.F) {
	const secret = "hush-9f2c"
	f.Add("OUTBOX_POLL_IDLE", "7s", "OUTBOX_RELAYS", "2", "db.example")
	f.Add("OUTBOX_DATABASE_AUTH", "iam", "OUTBOX_POLL_IDLE", "soon", "db:port")
	f.Add("OUTBOX_DATABASE_URL", "host=a password='b c", "OUTBOX_DESTINATIONS", `{"a":`, "[::1")
	f.Add("OUTBOX_LOG_LEVEL", "loud", "OUTBOX_IDLE_EXIT", "-1s", "%zz")
	f.Add("OUTBOX_WINDOW_BYTES", "-9223372036854775808", "OUTBOX_SDK_CODEC", "maybe", "")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2, host string) {
		set := environ("OUTBOX_DATABASE_URL", "postgres://relay:"+secret+"@"+host+"/app", name1, value1, name2, value2)
		r, err := Parse[Relay](set)
		if err != nil {
			if !strings.Contains(err.Error(), "OUTBOX_") && !strings.Contains(err.Error(), "AWS_") {
				t.Errorf("no variable is named: %v", err)
			}
			if strings.Contains(err.Error(), secret) && !strings.Contains(value1+value2+host, secret) {
				t.Errorf("the password is shown: %v", err)
			}
			return
		}
		if len(r.Destinations) == 0 || r.Concurrency < 0 || r.Margin < relay.DefaultShutdownGrace+time.Second {
			t.Errorf("taken: %+v", r)
		}
		cfg := r.Config()
		if err := cfg.Validate(); err == nil {
			t.Error("a relay without destinations was taken")
		}
		cfg.Destinations = map[string]relay.Destination{"default": {Sink: &memory.Broker{}}}
		if err := cfg.Validate(); err != nil {
			t.Errorf("the engine refuses what was taken: %v", err)
		}
	})
}
