//go:build unix

package functions_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// What must never be written. They hold no character of which the encodings
// below make something else in the middle, but for the last one.
const (
	password     = "canary-password-Zq8xW2"
	secretKey    = "canarySecretAccessKeyPj5rT9LmN3vB7cX1"
	sessionToken = "canarySessionTokenHd4fG6kQ8sY2"
	payload      = "canary-payload-Ue7yA5"
	header       = "canary-header-Io3bV9"
	otlpKey      = "canary-otlp-key-Vb5nM1"
	awkward      = "canary p%ss/w@rd?:#&+=é"
)

// leaks returns which secrets are in a text, in any form that a log or an error
// could give them.
func leaks(text string) []string {
	var found []string
	for _, secret := range []string{password, secretKey, sessionToken, payload, header, otlpKey, awkward} {
		quoted, err := json.Marshal(secret)
		if err != nil {
			return []string{err.Error()}
		}
		for _, form := range []string{
			secret, strings.Trim(string(quoted), `"`), url.QueryEscape(secret), url.PathEscape(secret),
			url.UserPassword("", secret).String()[1:],
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
			hex.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(text, strings.TrimRight(form, "=")) {
				found = append(found, secret)
				break
			}
		}
	}
	return found
}

func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{password, secretKey, sessionToken, payload, header, otlpKey, awkward} {
		u := url.URL{Scheme: "postgres", User: url.UserPassword("relay", secret), Host: "db", RawQuery: "password=" + url.QueryEscape(secret)}
		quoted, err := json.Marshal(map[string]string{"error": "connect to " + secret})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{secret, u.String(), "x " + u.User.String(), u.RawQuery, string(quoted), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if got := leaks(text); len(got) != 1 || got[0] != secret {
				t.Errorf("%s: found %q, want %q", text, got, secret)
			}
		}
	}
	if got := leaks("the password was refused"); got != nil {
		t.Errorf("found %q in nothing", got)
	}
}

// world is what the functions run against.
type world struct {
	fake     *awsfake.Server
	queue    string
	secrets  *httptest.Server
	secret   atomic.Value // what Secrets Manager answers
	database *pgxpool.Pool
	login    *url.URL // with the password
}

func newWorld(t *testing.T, role string) *world {
	t.Helper()
	w := &world{fake: broker(t, awsfake.Config{}), database: outboxtest.DB(t)}
	w.queue = queue(t, w.fake, "orders.fifo", nil)
	var err error
	if w.login, err = url.Parse(outboxtest.URL(t)); err != nil {
		t.Fatal(err)
	}
	c := w.database.Config().ConnConfig
	w.login.Path = "/" + c.Database
	user := "canary_" + strings.ToLower(rand.Text())
	if _, err = w.database.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE %s`, user, password, role)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, dropErr := w.database.Exec(context.Background(), "DROP ROLE "+user); dropErr != nil {
			t.Errorf("drop role: %v", dropErr)
		}
	})
	w.login.User = url.UserPassword(user, password)

	w.secrets = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(answer).Encode(map[string]string{"ARN": "arn", "Name": "db", "SecretString": fmt.Sprint(w.secret.Load())})
	}))
	t.Cleanup(w.secrets.Close)
	return w
}

func (w *world) enqueue(t *testing.T, bodies ...string) {
	t.Helper()
	tx, err := w.database.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies {
		if _, err = outbox.Enqueue(t.Context(), tx, outbox.Event{
			AggregateType: "order", AggregateID: fmt.Sprint(i), Type: "order.placed",
			Payload: json.RawMessage(body),
			Headers: map[string]string{"tenant": header, outbox.HeaderTraceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err = tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// environment returns the variables of a function that logs all it can.
func (w *world) environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_SESSION_TOKEN": sessionToken,
		"AWS_ENDPOINT_URL": w.fake.URL(), "AWS_ENDPOINT_URL_SECRETS_MANAGER": w.secrets.URL,
		"AWS_LAMBDA_LOG_LEVEL": "TRACE", "OUTBOX_LOG_LEVEL": "DEBUG",
		"OUTBOX_DATABASE_URL": w.login.String(),
		"OUTBOX_DESTINATIONS": fmt.Sprintf(`{"default":{"arn":%q,"max_message_bytes":2048}}`, w.queue),
		"OUTBOX_MARGIN":       "8s", "OUTBOX_IDLE_EXIT": "300ms",
	}
}

// scenario is a run of a function that could say too much.
type scenario struct {
	arrange func(t *testing.T, w *world, env map[string]string)
	// says is a text that the output must have in it, to show that the run went as meant.
	says string
}

func unreachable() string { return "127.0.0.1:1" }

// databases returns what any function can meet on its way to the database. role is the function's.
func databases(role string) map[string]scenario {
	return map[string]scenario{
		"the database cannot be reached": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.login.Host = unreachable()
				env["OUTBOX_DATABASE_URL"] = w.login.String()
			}, "cannot be reached",
		},
		"the password is refused": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.login.User = url.UserPassword("nobody_of_that_name", password)
				env["OUTBOX_DATABASE_URL"] = w.login.String()
			}, "denied access",
		},
		"an awkward password is refused": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.login.User = url.UserPassword("nobody_of_that_name", awkward)
				env["OUTBOX_DATABASE_URL"] = w.login.String()
			}, "denied access",
		},
		"the URL has a password that is not escaped": {
			func(_ *testing.T, _ *world, env map[string]string) {
				env["OUTBOX_DATABASE_URL"] = "postgres://relay:" + awkward + "@db:port/app"
			}, "OUTBOX_DATABASE_URL",
		},
		"the connection string cannot be read": {
			func(_ *testing.T, _ *world, env map[string]string) {
				env["OUTBOX_DATABASE_URL"] = "host=db port=x password=" + password
			}, "OUTBOX_DATABASE_URL",
		},
		"the URL asks for weak TLS": {
			func(_ *testing.T, _ *world, env map[string]string) {
				env["OUTBOX_DATABASE_URL"] = "postgres://relay:" + password + "@db.example/app?sslmode=require"
			}, "OUTBOX_DATABASE_TLS",
		},
		"a role has no rights": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				if _, err := w.database.Exec(t.Context(), "REVOKE "+role+" FROM "+w.login.User.Username()); err != nil {
					t.Fatal(err)
				}
			}, "denied access",
		},
		"the secret has a wrong password": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.secret.Store(fmt.Sprintf(`{"username":"nobody_of_that_name","password":%q}`, password))
				w.secretOnly(env)
			}, "denied access",
		},
		"the secret is no JSON": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.secret.Store(password)
				w.secretOnly(env)
			}, "OUTBOX_DATABASE_SECRET_ARN",
		},
		"the secret has no user": {
			func(_ *testing.T, w *world, env map[string]string) {
				w.secret.Store(fmt.Sprintf(`{"password":%q}`, password))
				w.secretOnly(env)
			}, "OUTBOX_DATABASE_SECRET_ARN",
		},
		"an IAM token goes nowhere": {
			func(_ *testing.T, _ *world, env map[string]string) {
				env["OUTBOX_DATABASE_AUTH"] = "iam"
				env["OUTBOX_DATABASE_URL"] = "postgres://relay@" + unreachable() + "/app?sslmode=verify-full"
			}, "cannot be reached",
		},
	}
}

// relays returns what only the relay can meet: brokers and the exporter of spans.
func relays() map[string]scenario {
	return map[string]scenario{
		"all is well": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, `"CloudWatchMetrics"`,
		},
		"an event is too large": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				w.enqueue(t, `{"card":"`+strings.Repeat(payload, 200)+`"}`)
			}, "event is a dead letter",
		},
		"the queue refuses an entry": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				w.fail(t, awsfake.Fault{Kind: awsfake.FailEntry, Operation: "SendMessageBatch", SenderFault: true, Code: "InvalidMessageContents", Message: "refused", Count: 1})
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, "event is a dead letter",
		},
		"the queue denies access": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				w.fail(t, awsfake.Fault{Kind: awsfake.FailCall, Code: "AccessDenied", SenderFault: true, Status: 403, Count: 3})
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, "AccessDenied",
		},
		"answers of the queue are lost": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				w.fail(t, awsfake.Fault{Kind: awsfake.LoseResponse, Operation: "SendMessageBatch", Count: 4})
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, `"Unknown"`,
		},
		"the queue cannot be reached": {
			func(t *testing.T, w *world, _ map[string]string) {
				t.Helper()
				if err := w.fake.Close(); err != nil {
					t.Fatal(err)
				}
			}, "cannot be reached",
		},
		"the password comes from a secret": {
			func(t *testing.T, w *world, env map[string]string) {
				t.Helper()
				w.secret.Store(fmt.Sprintf(`{"username":%q,"password":%q}`, w.login.User.Username(), password))
				w.secretOnly(env)
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, `"CloudWatchMetrics"`,
		},
		"spans cannot be sent": {
			func(t *testing.T, w *world, env map[string]string) {
				t.Helper()
				env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://x:" + otlpKey + "@" + unreachable() + "/" + otlpKey + "?key=" + otlpKey
				env["OTEL_EXPORTER_OTLP_HEADERS"] = "api-key=" + otlpKey
				w.enqueue(t, `{"card":"`+payload+`"}`)
			}, "spans are lost",
		},
		"the keys for spans cannot be read": {
			func(_ *testing.T, w *world, env map[string]string) {
				env["OTEL_EXPORTER_OTLP_ENDPOINT"] = w.secrets.URL
				env["OTEL_EXPORTER_OTLP_HEADERS"] = otlpKey
			}, "OTEL_EXPORTER_OTLP_HEADERS",
		},
	}
}

func (w *world) fail(t *testing.T, f awsfake.Fault) {
	t.Helper()
	if _, err := w.fake.AddFault(f); err != nil {
		t.Fatal(err)
	}
}

func (w *world) secretOnly(env map[string]string) {
	w.login.User = nil
	env["OUTBOX_DATABASE_URL"] = w.login.String()
	env["OUTBOX_DATABASE_SECRET_ARN"] = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db"
}

// kept returns a scenario with an event in the outbox whose row sql then changes, and whose payload stays.
func kept(sql, says string) scenario {
	return scenario{func(t *testing.T, w *world, _ map[string]string) {
		t.Helper()
		w.enqueue(t, `{"card":"`+payload+`"}`)
		if _, err := w.database.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}, says}
}

// subject is a function under test: its role, its request and the scenarios of its own.
type subject struct {
	role, request string
	own           map[string]scenario
}

// subjects are the functions. One that is not here fails the test.
func subjects() map[string]subject {
	const sent = `UPDATE outbox.events SET sent_at = now() - interval '25 hours', message_id = 'm'`
	return map[string]subject{
		"relay": {"outbox_relay", `{}`, relays()},
		"dlq-redrive": {"outbox_redrive", `{"action":"replay","aggregate_type":"order"}`, map[string]scenario{
			"sent events are sent again": kept(sent, "redrive ended"),
		}},
		"janitor": {"outbox_janitor", `{}`, map[string]scenario{
			"sent events are archived": kept(sent, `"CloudWatchMetrics"`),
		}},
	}
}

func TestNoFunctionWritesSecretsOrPayloads(t *testing.T) {
	t.Parallel()
	mains, err := filepath.Glob("../../functions/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("%d functions, error %v", len(mains), err)
	}
	for _, main := range mains {
		name := filepath.Base(filepath.Dir(main))
		s, ok := subjects()[name]
		if !ok {
			t.Errorf("%s: nothing is said here about what it may write", name)
			continue
		}
		all := databases(s.role)
		maps.Copy(all, s.own)
		for what, scene := range all {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, s.role)
				env := maps.Clone(w.environment())
				scene.arrange(t, w, env)
				out := run(t, name, s.request, env)
				if !strings.Contains(out, scene.says) {
					t.Errorf("the run does not say %q:\n%s", scene.says, out)
				}
				if found := leaks(out); found != nil {
					t.Errorf("%q can be read in:\n%s", found, out)
				}
				var reasons string
				if err := w.database.QueryRow(t.Context(), `SELECT coalesce(string_agg(code || ' ' || reason, ' '), '') FROM outbox.dead_letters`).Scan(&reasons); err != nil {
					t.Fatal(err)
				}
				if found := leaks(reasons); found != nil {
					t.Errorf("%q can be read in the reason of a dead letter: %s", found, reasons)
				}
			})
		}
	}
}

// run returns all that comes out of two invocations: both outputs, the answer
// and the error.
func run(t *testing.T, name, request string, env map[string]string) string {
	t.Helper()
	f, output := function(t, name, time.Minute, env)
	var answers strings.Builder
	for range 2 {
		response, invokeErr := f.Invoke(t.Context(), []byte(request))
		answers.Write(response.Payload)
		if invokeErr != nil {
			answers.WriteString("\n" + invokeErr.Error())
			if failed, ok := errors.AsType[*lambdahost.FunctionError](invokeErr); ok {
				fmt.Fprintf(&answers, "\n%+v", *failed)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := f.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	return output.String() + answers.String()
}
