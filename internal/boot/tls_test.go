package boot

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

func TestOtherHostsAreVerifiedUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url  string
		tls  DatabaseTLS
		want string // of sslmode, "" for a refusal
	}{
		{"postgres://relay@db.example/app", TLSVerifyFull, "verify-full"},
		{"postgres://relay@db.example/app?application_name=x", TLSVerifyFull, "verify-full"},
		{"postgres://relay@db.example/app?sslmode=verify-full", TLSVerifyFull, "verify-full"},
		{"host=db.example user=relay", TLSVerifyFull, "verify-full"},
		{"host=db.example sslmode = verify-full", TLSVerifyFull, "verify-full"},
		{"postgres://relay@192.0.2.1/app", TLSVerifyFull, "verify-full"},
		{"postgres://relay@localhost.evil.example/app", TLSVerifyFull, "verify-full"},
		{"postgres://relay@db.example/app?sslmode=verify-ca", TLSVerifyFull, ""},
		{"postgres://relay@db.example/app?sslmode=require", TLSVerifyFull, ""},
		{"postgres://relay@db.example/app?sslmode=prefer", TLSVerifyFull, ""},
		{"host=db.example sslmode=disable", TLSVerifyFull, ""},
		{"host=localhost,db.example sslmode=disable", TLSVerifyFull, ""},
		{"host=localhost,db.example", TLSVerifyFull, "verify-full"},
		{"postgres://relay@localhost/app", TLSVerifyFull, "unchanged"},
		{"postgres://relay@127.0.0.1/app?sslmode=disable", TLSVerifyFull, "unchanged"},
		{"postgres://relay@[::1]/app", TLSVerifyFull, "unchanged"},
		{"host=/run/postgresql user=relay", TLSVerifyFull, "unchanged"},
		{"postgres://relay@db.example/app?sslmode=require", TLSFromURL, "unchanged"},
		{"postgres://relay@db.example/app", TLSFromURL, "unchanged"},
	} {
		d := Database{URL: c.url, TLS: c.tls}
		got, err := d.secured(c.url)
		switch c.want {
		case "":
			if err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_TLS") {
				t.Errorf("%s: %q, error %v; want a refusal that says what to set", c.url, got, err)
			}
		case "unchanged":
			if err != nil || got != c.url {
				t.Errorf("%s: %q, error %v; want it unchanged", c.url, got, err)
			}
		default:
			config, parseErr := pgx.ParseConfig(got)
			if err != nil || parseErr != nil {
				t.Errorf("%s: error %v, %v", c.url, err, parseErr)
				continue
			}
			if weak(config) {
				t.Errorf("%s: became %q, which is weak", c.url, got)
			}
		}
	}
}

func TestWeakTLSIsAFaultOfTheConfiguration(t *testing.T) {
	t.Parallel()
	weakURL := "postgres://relay:hush@db.example/app?sslmode=require"
	if _, err := Parse[Relay](environ("OUTBOX_DATABASE_URL", weakURL)); err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_TLS=url") || strings.Contains(err.Error(), "hush") {
		t.Errorf("error %v", err)
	}
	if _, err := Parse[Relay](environ("OUTBOX_DATABASE_URL", weakURL, "OUTBOX_DATABASE_TLS", "url")); err != nil {
		t.Errorf("allowed: error %v", err)
	}
	if _, err := Parse[Relay](environ("OUTBOX_DATABASE_TLS", "require")); err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_TLS") {
		t.Errorf("error %v", err)
	}
}

func TestTheAuthoritiesOfRDSAreWhatTheyShouldBe(t *testing.T) {
	t.Parallel()
	regions := map[string]int{}
	for rest := rdsRoots; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Subject.OrganizationalUnit) != 1 || c.Subject.OrganizationalUnit[0] != "Amazon RDS" || !c.IsCA {
			t.Errorf("%s is no authority of RDS", c.Subject)
		}
		if err := c.CheckSignatureFrom(c); err != nil {
			t.Errorf("%s is not its own issuer: %v", c.Subject, err)
		}
		if region, ok := strings.CutPrefix(c.Subject.CommonName, "Amazon RDS "); ok {
			region, _, _ = strings.Cut(region, " ")
			regions[region]++
		}
	}
	for _, region := range []string{"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "sa-east-1"} {
		if regions[region] != 3 {
			t.Errorf("%s has %d authorities, want RSA2048, RSA4096 and ECC384", region, regions[region])
		}
	}
	pool, err := (&Database{}).authorities()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(rdsRoots)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = root.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		t.Errorf("the pool does not have %s: %v", root.Subject, err)
	}
}

func TestAuthoritiesThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(t.TempDir(), "missing.pem")} {
		d := Database{URL: "postgres://relay@127.0.0.1:1/app", CA: path}
		if _, err := d.connect(t.Context(), aws.Config{}, newVault("")); err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_CA") || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v", err)
		}
	}
}

// authority is a certificate authority of our own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns certificate and key of a server of that name.
func (a *authority) sign(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// secureServer is a PostgreSQL that speaks TLS as the host localhost.
func secureServer(t *testing.T, a *authority) *url.URL {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if stopErr := server.Stop(); stopErr != nil {
			t.Errorf("stop: %v", stopErr)
		}
	})
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	cert, key := a.sign(t, "localhost")
	for _, sql := range []string{
		// By the server itself, which wants to own its key and be its only reader.
		fmt.Sprintf(`COPY (SELECT unnest(string_to_array('%s', E'\n'))) TO PROGRAM 'umask 077; cat > server.crt'`, strings.TrimSpace(cert)),
		fmt.Sprintf(`COPY (SELECT unnest(string_to_array('%s', E'\n'))) TO PROGRAM 'umask 077; cat > server.key'`, strings.TrimSpace(key)),
		`ALTER SYSTEM SET ssl = on`,
		`SELECT pg_reload_conf()`,
	} {
		if _, err = conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// awaitTLS returns when the server has taken its new settings.
func awaitTLS(t *testing.T, u *url.URL) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, with(u, "localhost", "require"))
		if err == nil {
			if err = conn.Close(ctx); err != nil {
				t.Fatal(err)
			}
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func with(u *url.URL, host, mode string) string {
	c := *u
	c.Host = host + ":" + u.Port()
	c.RawQuery = "sslmode=" + mode
	return c.String()
}

func TestOnlyTheRightServerIsTalkedTo(t *testing.T) {
	t.Parallel()
	right, wrong := newAuthority(t), newAuthority(t)
	server := secureServer(t, right)
	awaitTLS(t, server)
	password, _ := server.User.Password()
	for name, c := range map[string]struct {
		host, ca string
		want     string
	}{
		"the right authority and host": {"localhost", right.file, ""},
		"another authority":            {"localhost", wrong.file, "authority that is not known"},
		"the authorities of RDS":       {"localhost", "", "OUTBOX_DATABASE_CA"},
		"another host":                 {"127.0.0.1", right.file, "names another host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Database{URL: with(server, c.host, "verify-full"), CA: c.ca, Auth: AuthPassword, ConnectTimeout: 10 * time.Second}
			pool, err := d.connect(t.Context(), aws.Config{}, newVault(""))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), password) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var encrypted bool
			if err = pool.QueryRow(t.Context(), `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&encrypted); err != nil || !encrypted {
				t.Errorf("encrypted %v, error %v", encrypted, err)
			}
		})
	}
}
