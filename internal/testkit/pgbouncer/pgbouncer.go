//go:build unix

// Package pgbouncer puts a PgBouncer in transaction mode in front of a
// PostgreSQL server, for tests of what must work behind a pooler.
//
// A PgBouncer belongs to the process that started it and ends with that process, also
// when it is killed. PgBouncer refuses to run as root. When the process is root, it
// runs as an unprivileged user of the system: see [process.Unprivileged].
package pgbouncer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// ErrNotFound means that no PgBouncer is installed.
var ErrNotFound = errors.New("no pgbouncer in PATH or /usr/sbin: run apt-get install pgbouncer (Debian, Ubuntu) or brew install pgbouncer")

// Bouncer is a running PgBouncer, listening on 127.0.0.1 only. Its methods may be called concurrently.
type Bouncer struct {
	url     string
	process *process.Process
}

// Start starts a PgBouncer that leads to every database of server, the URL of a
// PostgreSQL, for the user in that URL only. It returns when a query gets through. ctx
// bounds the start only. The error wraps [ErrNotFound] when no PgBouncer is installed.
func Start(ctx context.Context, server string) (*Bouncer, error) {
	bin, err := find()
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	behind, err := pgx.ParseConfig(server)
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	b, err := process.OnFreePort(ctx, func(port int) (*Bouncer, error) { return startOn(ctx, port, bin, behind) })
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	return b, nil
}

// URL returns the address of the database that the server's URL named.
func (b *Bouncer) URL() string { return b.url }

// Stop ends the PgBouncer, cuts its connections and removes its folder. It errs when that takes longer than 30 s.
// Calling it again changes nothing.
func (b *Bouncer) Stop() error { return b.process.Stop() }

// find returns the path of an installed pgbouncer, or [ErrNotFound].
func find() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin, nil
		}
	}
	return "", ErrNotFound
}

// startOn starts the program bin on the port, in front of the server behind, and returns when a query gets through.
// After an error nothing of it is left. The error wraps process.ErrPortTaken when another process took the port.
func startOn(ctx context.Context, port int, bin string, behind *pgx.ConnConfig) (*Bouncer, error) {
	acc, err := process.Unprivileged()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(acc.TempDir(), "outbox-pgbouncer-")
	if err != nil {
		return nil, err
	}
	p, err := launch(bin, home, acc, config(home, port, behind), userList(behind))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(behind.User, behind.Password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + behind.Database,
		RawQuery: "sslmode=disable",
	}
	b := &Bouncer{url: u.String(), process: p}
	if err := p.Await(ctx, b.ping); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return b, nil
}

// launch writes PgBouncer's configuration (ini) and list of users into the folder home, and starts the program bin as
// acc. It does not wait for answers. home is removed when PgBouncer ends.
func launch(bin, home string, acc *process.Account, ini, users string) (*process.Process, error) {
	log := filepath.Join(home, "log")
	paths := []string{home}
	for name, text := range map[string]string{"pgbouncer.ini": ini, "users": users, "log": ""} {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	if err := acc.Chown(paths...); err != nil {
		return nil, err
	}
	return process.Start(process.Config{
		Args: []string{bin, filepath.Join(home, "pgbouncer.ini")}, Account: acc,
		Log: log, Signal: "TERM", Remove: home,
	})
}

// config returns the text of pgbouncer.ini, for a PgBouncer with its files in home that listens on port and leads to
// the server behind. PgBouncer has a pool for each database, and each test has a database of its own: so pools are
// small, and idle connections are closed after 2 s. extra_float_digits is ignored because the driver lib/pq sends it,
// and PgBouncer would refuse it.
func config(home string, port int, behind *pgx.ConnConfig) string {
	auth := "scram-sha-256"
	if behind.Password == "" {
		auth = "trust"
	}
	return fmt.Sprintf(`[databases]
* = host=%s port=%d

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = %s
auth_file = %s
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
default_pool_size = 10
max_client_conn = 1000
server_idle_timeout = 2
server_check_delay = 30
log_connections = 0
log_disconnections = 0
`, behind.Host, behind.Port, port, auth, filepath.Join(home, "users"))
}

// userList returns the text of the file of users, which has the user of behind and its password.
func userList(behind *pgx.ConnConfig) string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	return quote(behind.User) + " " + quote(behind.Password) + "\n"
}

// ping connects to the database at b.url, makes one query and closes the connection.
func (b *Bouncer) ping(ctx context.Context) error {
	config, err := pgx.ParseConfig(b.url)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "select 1")
	return errors.Join(err, conn.Close(ctx))
}
