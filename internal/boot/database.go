package boot

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// secretTTL is how long a secret is used before it is read again, so that a new password is used after this time
// even where the database still accepts the old one.
const secretTTL = 5 * time.Minute

// Database is the configuration of the connection to the outbox: where the database is, and how to log in.
type Database struct {
	URL       string       `env:"OUTBOX_DATABASE_URL"`
	Auth      DatabaseAuth `env:"OUTBOX_DATABASE_AUTH"`
	TLS       DatabaseTLS  `env:"OUTBOX_DATABASE_TLS"`
	CA        string       `env:"OUTBOX_DATABASE_CA"`
	SecretARN string       `env:"OUTBOX_DATABASE_SECRET_ARN"`

	// ConnectTimeout is the longest time of one attempt to connect. Zero is the default of [pgstore.Config]. No
	// variable sets it.
	ConnectTimeout time.Duration
}

// DatabaseAuth is how the function logs in to the database, as in OUTBOX_DATABASE_AUTH.
type DatabaseAuth string

// AuthPassword takes the password of the URL or of the secret, AuthIAM makes an IAM token of RDS.
const (
	AuthPassword DatabaseAuth = "password"
	AuthIAM      DatabaseAuth = "iam"
)

// UnmarshalText accepts password and iam.
func (a *DatabaseAuth) UnmarshalText(text []byte) error {
	switch v := DatabaseAuth(text); v {
	case AuthPassword, AuthIAM:
		*a = v
		return nil
	}
	return fmt.Errorf("%q is not a way to log in", text)
}

// Validate returns the faults of URL, its sslmode, Auth and SecretARN together, each with the name of its
// variable. It does not connect, and reads neither the secret nor the file CA.
func (d *Database) Validate() []error {
	var faults []error
	if d.URL == "" && d.SecretARN == "" {
		faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: is not set: set it to: %s", meanings()["OUTBOX_DATABASE_URL"].meaning))
	}
	var config *pgx.ConnConfig
	if d.URL != "" {
		secured, err := d.secured(d.URL)
		if err != nil {
			faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: %w", err))
		} else if config, err = pgx.ParseConfig(secured); err != nil {
			faults = append(faults, fmt.Errorf("OUTBOX_DATABASE_URL: %w", errConnectionString))
		}
	}
	if d.Auth == AuthIAM {
		if d.URL == "" || d.SecretARN != "" {
			faults = append(faults, errors.New("OUTBOX_DATABASE_AUTH: iam takes host and user from OUTBOX_DATABASE_URL and no OUTBOX_DATABASE_SECRET_ARN"))
		}
		if config != nil && anyHost(config, func(_ string, t *tls.Config) bool { return t == nil }) {
			faults = append(faults, errors.New("OUTBOX_DATABASE_URL: an IAM token goes over TLS only: leave OUTBOX_DATABASE_TLS at verify-full"))
		}
	}
	return faults
}

// SecretReader is the part of [secretsmanager.Client] that reads a secret.
type SecretReader interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Connect opens a pool of connections to the database and checks the schema. The password comes from the URL; or is
// an IAM token, made for each new connection, since RDS accepts one for 15 minutes; or comes from the secret, which
// is read again after five minutes and after the database refused the password. With a secret, the user is that of
// the secret. The caller closes the pool.
func (d *Database) Connect(ctx context.Context, cfg aws.Config) (*pgxpool.Pool, error) {
	pool, err := d.connect(ctx, cfg, secretsmanager.NewFromConfig(cfg))
	if err != nil {
		return nil, err
	}
	if err := pgstore.New(pool).Check(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return pool, nil
}

func (d *Database) connect(ctx context.Context, cfg aws.Config, secrets SecretReader) (*pgxpool.Pool, error) {
	config := pgstore.Config{URL: d.URL, ConnectTimeout: d.ConnectTimeout}
	switch {
	case d.Auth == AuthIAM:
		config.Password = func(ctx context.Context, host string, port uint16, user string) (string, error) {
			endpoint := net.JoinHostPort(host, strconv.Itoa(int(port)))
			token, err := auth.BuildAuthToken(ctx, endpoint, cfg.Region, user, cfg.Credentials)
			if err != nil {
				return "", fmt.Errorf("build IAM token: %w", err)
			}
			return token, nil
		}
	case d.SecretARN != "":
		cache := &secretCache{reader: secrets, arn: d.SecretARN, ttl: secretTTL, now: time.Now}
		s, err := cache.get(ctx)
		if err != nil {
			return nil, err
		}
		if config.URL, err = s.url(d.URL); err != nil {
			return nil, err
		}
		config.Password = cache.password
		config.OnAuthFailure = cache.drop
	}
	var err error
	if config.URL, err = d.secured(config.URL); err != nil {
		return nil, fmt.Errorf("OUTBOX_DATABASE_URL: %w", err)
	}
	if config.RootCAs, err = d.authorities(); err != nil {
		return nil, fmt.Errorf("OUTBOX_DATABASE_CA: %w", err)
	}
	pool, err := pgstore.Connect(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database: %w", explainTLS(err))
	}
	return pool, nil
}

// secret is a database login in the JSON form of RDS and Secrets Manager. A secret that RDS itself manages has
// username and password only.
type secret struct {
	Host     string      `json:"host"`
	Port     json.Number `json:"port"`
	DBName   string      `json:"dbname"`
	Username string      `json:"username"`
	Password string      `json:"password"`
}

// url returns the connection URL, without a password: base with the secret's user in it, or, where base is empty, one
// made of the secret alone, with port 5432, the database postgres where the secret has none, and sslmode=verify-full.
// It fails when base is empty and the secret has no host, and when base is not a URL with a host.
func (s *secret) url(base string) (string, error) {
	if base == "" {
		if s.Host == "" {
			return "", errors.New("OUTBOX_DATABASE_SECRET_ARN: the secret has no host: set OUTBOX_DATABASE_URL to host, port and database")
		}
		return (&url.URL{
			Scheme:   "postgres",
			User:     url.User(s.Username),
			Host:     net.JoinHostPort(s.Host, cmp.Or(s.Port.String(), "5432")),
			Path:     "/" + cmp.Or(s.DBName, "postgres"),
			RawQuery: "sslmode=verify-full",
		}).String(), nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "", errors.New("OUTBOX_DATABASE_URL: with a secret it must be a URL: postgres://host:5432/app")
	}
	u.User = url.User(s.Username)
	return u.String(), nil
}

// secretCache reads the secret arn through reader and keeps it in memory for the time ttl, by the clock now. It
// is safe for concurrent use.
type secretCache struct {
	reader SecretReader
	arn    string
	ttl    time.Duration
	now    func() time.Time

	mu      sync.Mutex
	kept    *secret // nil when there is none
	expires time.Time
}

// get returns the secret from memory, or reads it when there is none or it is older than ttl. It fails when the
// secret cannot be read, or is not JSON with a username and a password; the error quotes no part of the secret.
func (c *secretCache) get(ctx context.Context) (*secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept != nil && c.now().Before(c.expires) {
		return c.kept, nil
	}
	out, err := c.reader.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &c.arn})
	if err != nil {
		return nil, fmt.Errorf("OUTBOX_DATABASE_SECRET_ARN: read the secret: %w", err)
	}
	var s secret
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &s); err != nil {
		// The decoder's error may quote the secret.
		return nil, errors.New("OUTBOX_DATABASE_SECRET_ARN: the secret is not JSON with username and password")
	}
	if s.Username == "" || s.Password == "" {
		return nil, errors.New("OUTBOX_DATABASE_SECRET_ARN: the secret has no username or no password")
	}
	c.kept, c.expires = &s, c.now().Add(c.ttl)
	return c.kept, nil
}

// errUserChanged is the error of password after a rotation that alternates between two users: the secret now names
// another user than the one that the pool connects as.
var errUserChanged = errors.New("the secret names another user now: the next run connects as that one")

// password returns the secret's password for a new connection of user. It fails with errUserChanged when the
// secret names another user, and when the secret cannot be read. Host and port are ignored.
func (c *secretCache) password(ctx context.Context, _ string, _ uint16, user string) (string, error) {
	s, err := c.get(ctx)
	if err != nil {
		return "", err
	}
	if s.Username != user {
		return "", errUserChanged
	}
	return s.Password, nil
}

// drop forgets the secret, so that the next get reads it again.
func (c *secretCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = nil
}
