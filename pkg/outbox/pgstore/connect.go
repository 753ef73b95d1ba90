package pgstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

// Config says how to connect to the database of an outbox. Only URL is required.
type Config struct {
	// URL is a PostgreSQL connection string, as a URL or in keyword form. With Password set it needs no password
	// itself. Required.
	URL string
	// MaxConns is the most connections of the pool, from 1 to 1000. A relay uses one to read, one to settle and one
	// to renew its lease. Defaults to 4.
	MaxConns int
	// ExecMode is how statements are sent. Defaults to [pgx.QueryExecModeCacheDescribe], which leaves no named
	// statement in a session: poolers in transaction mode bear none, and the plan that such a statement got while a
	// table was empty would be used when it is full. A default_query_exec_mode in URL is ignored.
	ExecMode pgx.QueryExecMode
	// ConnectTimeout bounds one attempt to connect. Defaults to 5 s. A connect_timeout in URL is ignored.
	ConnectTimeout time.Duration
	// PingTimeout bounds the check by which the pool finds out whether an idle connection still works. Defaults to 1 s.
	PingTimeout time.Duration
	// MaxConnLifetime is the age at which a connection is closed, so that after a failover the connections spread
	// over the nodes again; up to a tenth of it is added at random. Defaults to 20 min.
	MaxConnLifetime time.Duration
	// Password, when set, is called for each new connection and returns the password of user at host and port, such
	// as an IAM token or a secret from a cache. It must be safe for concurrent use. Nil is the password of URL.
	Password func(ctx context.Context, host string, port uint16, user string) (string, error)
	// RootCAs are the authorities that may sign the server's certificate, where URL says sslmode=verify-full and no
	// sslrootcert is named, by URL, PGSSLROOTCERT or ~/.postgresql/root.crt. Defaults to the authorities of the system.
	RootCAs *x509.CertPool
	// OnAuthFailure, when set, is called after a password was refused and before Password is called again, so that a
	// cache can drop its secret. It must be safe for concurrent use.
	OnAuthFailure func()
}

// validate returns the faults of all fields of c, joined, nil when there is none. It does not parse URL.
func (c Config) validate() error {
	var faults []error
	if c.URL == "" {
		faults = append(faults, errors.New("URL: is required"))
	}
	if c.MaxConns < 0 || c.MaxConns > 1000 {
		faults = append(faults, fmt.Errorf("MaxConns: must be 0 to 1000, is %d", c.MaxConns))
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ConnectTimeout", c.ConnectTimeout},
		{"PingTimeout", c.PingTimeout},
		{"MaxConnLifetime", c.MaxConnLifetime},
	} {
		if d.value < 0 {
			faults = append(faults, fmt.Errorf("%s: must not be negative, is %v", d.name, d.value))
		}
	}
	return errors.Join(faults...)
}

// Connect opens a pool and makes one connection, to find out whether it leads to a database. A refused password is
// tried once more where Password is set. The caller closes the pool. Errors wrap [ErrUnreachable], [ErrDenied] or
// another error of this package where one fits; a faulty c gives a plain error and no connection is tried.
//
// The startup message of a connection sets client_encoding, DateStyle and TimeZone, whatever URL, the login or the
// database say: poolers bear that. Nothing is set later, because RDS Proxy would pin the session: give the login a
// statement_timeout with ALTER ROLE ... SET. The isolation level must be read committed, which is PostgreSQL's default;
// [Store.Check] makes sure of it.
func Connect(ctx context.Context, c Config) (*pgxpool.Pool, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	config, err := c.pool()
	if err != nil {
		return nil, fmt.Errorf("config: URL: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, pgdb.Translate("connect", "", err)
	}
	err = pool.Ping(ctx)
	if pgdb.IsAuthFailure(err) && c.Password != nil {
		err = pool.Ping(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, pgdb.Translate("connect", "", err)
	}
	return pool, nil
}

// pool returns c as the settings of a pool of pgx, with the defaults of the fields that are zero. It fails only when
// URL cannot be parsed.
func (c Config) pool() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err //nolint:wrapcheck // named by the caller; pgx leaves the password out
	}
	config.MaxConns = int32(cmp.Or(c.MaxConns, 4)) //nolint:gosec // validated
	config.PingTimeout = cmp.Or(c.PingTimeout, time.Second)
	config.MaxConnLifetime = cmp.Or(c.MaxConnLifetime, 20*time.Minute)
	config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	config.ConnConfig.ConnectTimeout = cmp.Or(c.ConnectTimeout, 5*time.Second)
	config.ConnConfig.DefaultQueryExecMode = cmp.Or(c.ExecMode, pgx.QueryExecModeCacheDescribe)
	pgdb.Require(config.ConnConfig.RuntimeParams)
	if c.Password != nil {
		config.BeforeConnect = func(ctx context.Context, conn *pgx.ConnConfig) error {
			password, err := c.Password(ctx, conn.Host, conn.Port, conn.User)
			if err != nil {
				return fmt.Errorf("password: %w", err)
			}
			conn.Password = password
			return nil
		}
	}
	if c.RootCAs != nil {
		trust(config.ConnConfig.TLSConfig, c.RootCAs)
		for _, f := range config.ConnConfig.Fallbacks {
			trust(f.TLSConfig, c.RootCAs)
		}
	}
	closesOn := config.ConnConfig.OnPgError
	config.ConnConfig.OnPgError = func(conn *pgconn.PgConn, pgErr *pgconn.PgError) bool {
		pgdb.NameRefusal(conn, pgErr)
		if pgdb.IsAuthFailure(pgErr) && c.OnAuthFailure != nil {
			c.OnAuthFailure()
		}
		// A node that became a replica would refuse every settlement to come.
		if pgErr.Code == "25006" {
			return false
		}
		return closesOn(conn, pgErr)
	}
	return config, nil
}

// trust makes a TLS configuration accept certificates of these authorities instead of the system's. It does not
// change one that has authorities already, or that leaves verifying to pgx or to nothing, as for the weaker modes of
// sslmode. Nil, a connection without TLS, is allowed.
func trust(config *tls.Config, authorities *x509.CertPool) {
	if config != nil && config.RootCAs == nil && !config.InsecureSkipVerify {
		config.RootCAs = authorities
	}
}
