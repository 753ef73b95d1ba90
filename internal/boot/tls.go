package boot

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rdsRoots are the certificates of the authorities of Amazon RDS and Aurora, in PEM form. docs/security.md says where
// they come from; `make rds-roots` fetches the newest. The certificates of RDS Proxy need none of them: they are
// signed by public authorities, which the system knows.
//
//go:embed rds-roots.pem
var rdsRoots []byte

// DatabaseTLS is how connections to the database are secured, as in OUTBOX_DATABASE_TLS.
type DatabaseTLS string

// The ways to secure connections.
const (
	// TLSVerifyFull: connections to another host go over TLS only, and only to a server
	// whose certificate has the name of that host.
	TLSVerifyFull DatabaseTLS = "verify-full"
	// TLSFromURL: connections are as the sslmode of the connection string says.
	TLSFromURL DatabaseTLS = "url"
)

// UnmarshalText accepts verify-full and url.
func (m *DatabaseTLS) UnmarshalText(text []byte) error {
	switch v := DatabaseTLS(text); v {
	case TLSVerifyFull, TLSFromURL:
		*m = v
		return nil
	}
	return fmt.Errorf("%q is neither verify-full nor url", text)
}

var (
	// errConnectionString replaces the parser's error, which quotes the password when the URL cannot be parsed.
	errConnectionString = errors.New("is not a PostgreSQL connection string, or names a file that cannot be read: set it to the form postgres://relay:password@host:5432/app")
	errWeakTLS          = errors.New("its sslmode does not check which server answers: leave it out, or set OUTBOX_DATABASE_TLS=url where the network is trusted")
	errNoAuthorities    = errors.New("has no certificate in PEM form")
)

// sslmode finds the setting in both forms of a connection string.
var sslmode = regexp.MustCompile(`(^|[?&\s])sslmode\s*=`)

// secured returns the connection string, with sslmode=verify-full added where it leads to another host and has no
// sslmode. A weaker sslmode to another host is an error. With TLSFromURL it returns the string as it is.
func (d *Database) secured(connection string) (string, error) {
	if d.TLS == TLSFromURL {
		return connection, nil
	}
	config, err := pgx.ParseConfig(connection)
	if err != nil {
		return "", errConnectionString
	}
	if !anyHost(config, func(host string, _ *tls.Config) bool { return !local(host) }) {
		return connection, nil
	}
	if !sslmode.MatchString(connection) {
		connection = withVerifyFull(connection)
		if config, err = pgx.ParseConfig(connection); err != nil {
			return "", errConnectionString
		}
	}
	if weak(config) {
		return "", errWeakTLS
	}
	return connection, nil
}

// withVerifyFull adds sslmode=verify-full to a connection string, a URL or pairs of key=value.
func withVerifyFull(connection string) string {
	switch {
	case !strings.HasPrefix(connection, "postgres://") && !strings.HasPrefix(connection, "postgresql://"):
		return connection + " sslmode=verify-full"
	case strings.Contains(connection, "?"):
		return connection + "&sslmode=verify-full"
	}
	return connection + "?sslmode=verify-full"
}

// anyHost reports whether is returns true for one of the ways to connect that c has, its fallbacks included. is gets the
// host and the TLS settings of a way, which are nil where it goes without TLS.
func anyHost(c *pgx.ConnConfig, is func(host string, config *tls.Config) bool) bool {
	return is(c.Host, c.TLSConfig) || slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return is(f.Host, f.TLSConfig)
	})
}

// local reports whether connections to the host stay on this machine: it is a socket in the file system or an
// abstract one (with @ in front), a loopback address, or the name localhost.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// weak reports whether a connection, or one of its fallbacks, goes without TLS or does not check the server's
// certificate.
func weak(c *pgx.ConnConfig) bool {
	return anyHost(c, func(_ string, t *tls.Config) bool { return t == nil || t.InsecureSkipVerify })
}

// authorities returns the authorities that may sign the database's certificate: those in the file CA, or, where
// CA is empty, those of the system and rdsRoots. A file without a certificate is errNoAuthorities, wrapped.
func (d *Database) authorities() (*x509.CertPool, error) {
	if d.CA != "" {
		content, err := os.ReadFile(d.CA)
		if err != nil {
			return nil, err //nolint:wrapcheck // names the file already
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s: %w", d.CA, errNoAuthorities)
		}
		return pool, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(rdsRoots)
	return pool, nil
}

// explainTLS adds what to do to err where that is about the database's certificate: an unknown authority, or
// another host's name. It returns other errors unchanged.
func explainTLS(err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("the certificate of the database is signed by an authority that is not known here: set OUTBOX_DATABASE_CA to a file with it, for a new RDS region the bundle of https://truststore.pki.rds.amazonaws.com: %w", err)
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Errorf("the certificate of the database names another host: connect by the name that RDS gives the endpoint, not by an address or an alias: %w", err)
	}
	return err
}
