package boot

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// vault is a Secrets Manager with one secret.
type vault struct {
	value atomic.Value
	reads atomic.Int64
}

func newVault(value string) *vault {
	v := &vault{}
	v.value.Store(value)
	return v
}

func (v *vault) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	v.reads.Add(1)
	value, _ := v.value.Load().(string)
	if value == "" {
		return nil, errors.New("no such secret")
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value}, nil
}

func TestSecretIsKeptUntilItsTimeOrARefusal(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	v := newVault(`{"username":"u","password":"one"}`)
	cache := &secretCache{reader: v, arn: "arn", ttl: time.Minute, now: func() time.Time { return now }}
	expect := func(want string, reads int64) {
		t.Helper()
		got, err := cache.password(t.Context(), "", 0, "u")
		if err != nil || got != want || v.reads.Load() != reads {
			t.Fatalf("password %q after %d reads, error %v; want %q after %d", got, v.reads.Load(), err, want, reads)
		}
	}
	expect("one", 1)
	v.value.Store(`{"username":"u","password":"two"}`)
	expect("one", 1)
	cache.drop()
	expect("two", 2)
	v.value.Store(`{"username":"u","password":"three"}`)
	now = now.Add(time.Minute)
	expect("three", 3)
	v.value.Store(`{"username":"u_clone","password":"four"}`)
	cache.drop()
	if _, err := cache.password(t.Context(), "", 0, "u"); !errors.Is(err, errUserChanged) {
		t.Errorf("error %v", err)
	}
}

func TestWrongSecretsAreNamedAndNotShown(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "hush", `{"username":"u"}`, `{"password":"hush"}`, `{"username":"u","password":"hush"}`} {
		d := Database{SecretARN: "arn", Auth: AuthPassword}
		_, err := d.connect(t.Context(), aws.Config{}, newVault(value))
		if err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_SECRET_ARN") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: error %v", value, err)
		}
	}
}

func TestSecretMakesTheConnectionString(t *testing.T) {
	t.Parallel()
	full := secret{Host: "h", Port: "6543", DBName: "app", Username: "a@b", Password: "hush"}
	for base, want := range map[string]string{
		"": "postgres://a%40b@h:6543/app?sslmode=verify-full",
		"postgres://other:x@db:5432/y?sslmode=verify-full": "postgres://a%40b@db:5432/y?sslmode=verify-full",
	} {
		if got, err := full.url(base); err != nil || got != want {
			t.Errorf("%q: %q, error %v; want %q", base, got, err, want)
		}
	}
	if _, err := full.url("host=db user=x"); err == nil {
		t.Error("a keyword string was taken")
	}
}

func TestConnectsWithASecretAndSurvivesItsRotation(t *testing.T) {
	t.Parallel()
	admin := outboxtest.DB(t)
	base, err := url.Parse(outboxtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	user := fmt.Sprintf("boot_%d", time.Now().UnixNano())
	exec := func(sql string) {
		t.Helper()
		if _, failed := admin.Exec(t.Context(), sql); failed != nil {
			t.Fatal(failed)
		}
	}
	exec(fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'one'`, user))
	t.Cleanup(func() {
		if _, failed := admin.Exec(context.Background(), "DROP ROLE "+user); failed != nil {
			t.Errorf("drop role: %v", failed)
		}
	})
	base.User = nil
	v := newVault(fmt.Sprintf(`{"username":%q,"password":"one"}`, user))
	d := Database{URL: base.String(), SecretARN: "arn", Auth: AuthPassword}
	pool, err := d.connect(t.Context(), aws.Config{}, v)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()

	exec(fmt.Sprintf(`ALTER ROLE %s PASSWORD 'two'`, user))
	v.value.Store(fmt.Sprintf(`{"username":%q,"password":"two"}`, user))
	pool.Reset()
	for range 2 { // the first may be refused, which drops the old secret
		if err = pool.Ping(t.Context()); err == nil {
			break
		}
	}
	if err != nil {
		t.Errorf("after the rotation: %v", err)
	}
}

func TestWrongPasswordIsDeniedAndNotShown(t *testing.T) {
	t.Parallel()
	base, err := url.Parse(outboxtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	base.User = url.UserPassword("nobody_of_that_name", "hush")
	d := Database{URL: base.String(), Auth: AuthPassword}
	_, err = d.connect(t.Context(), aws.Config{}, newVault(""))
	if !errors.Is(err, pgstore.ErrDenied) || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
}
