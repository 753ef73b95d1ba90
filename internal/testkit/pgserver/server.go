//go:build unix

package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// Config describes a server. The zero value is a throw-away server for tests.
type Config struct {
	// Fsync makes the server as durable as an ordinary one. Without it commits
	// cost no disk write, and nothing that is measured says anything about a
	// real server. Defaults to false.
	Fsync bool
	// Settings are further configuration parameters, such as wal_level. They
	// win over the ones of this package. Defaults to none.
	Settings map[string]string
	// DataDir is the folder of the cluster. A cluster is made when the folder is missing or
	// empty; otherwise it must have one that this package made. It is kept. Defaults to a
	// temporary directory that is removed when the server stops.
	DataDir string
	// BinDir is the folder of the programs initdb and postgres. Defaults to the first that
	// is found: $PG_BIN, the newest of 15 or later in the folders where packages install
	// (such as /usr/lib/postgresql/*/bin) and in PATH, and at last the embedded server.
	BinDir string
	// Embedded takes the embedded server even when one is installed, unless BinDir is set:
	// programs of PostgreSQL 18 that are fetched once, 15 MB, and then kept in the user's
	// cache directory (root: in /var/cache). Defaults to false.
	Embedded bool
}

// Server is a running PostgreSQL server, listening on 127.0.0.1 only. Its
// methods may be called concurrently.
type Server struct {
	url   string           // what URL returns
	super *process.Process // the server with its supervisor
}

// startAttempts bounds the retries after another process took the free port
// between the moment it was found and the moment PostgreSQL bound it.
const startAttempts = 5

// Start starts a server and returns when it takes connections. ctx bounds the
// start only: the server runs until [Server.Stop] or the end of the process.
// Errors hold the end of the server's log. When no PostgreSQL can be found or
// fetched, the error wraps a [NotFoundError] that says how to install one. It also
// stops servers, and removes directories, that killed processes left behind.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	acc, err := process.Unprivileged()
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	bin, err := findBin(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	removeLeftovers(ctx, bin, acc)
	for attempt := 1; ; attempt++ {
		s, err := startOnce(ctx, cfg, bin, acc)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == startAttempts {
			return nil, fmt.Errorf("start postgres: %w", err)
		}
	}
}

// startOnce makes the cluster and starts a server once, on a free port. The error wraps errPortTaken when another
// process took the port.
func startOnce(ctx context.Context, cfg Config, bin string, acc *process.Account) (*Server, error) {
	c, err := newCluster(ctx, cfg, bin, acc)
	if err != nil {
		return nil, err
	}
	defer c.unlock()
	return c.start(ctx, cfg)
}

// URL returns the address of the database postgres for the superuser.
func (s *Server) URL() string { return s.url }

// Stop stops the server and removes its directory, unless Config.DataDir named
// it. Connections are cut. It returns when the server is gone, or an error when that takes
// longer than 30 s; calling it again changes nothing.
func (s *Server) Stop() error { return s.super.Stop() }

// cluster is a data directory with which a server can be started.
type cluster struct {
	bin      string           // the folder with initdb and postgres
	acc      *process.Account // the server's user, nil for that of this process
	home     string           // temporary: the data, the log and the lock; empty when DataDir is the caller's
	data     string           // the data directory
	log      string           // the path of the log file
	lock     *os.File         // nil when DataDir is the caller's
	password string           // of the superuser postgres
}

// errPortTaken means that another process took the free port before the server did.
var errPortTaken = errors.New("port is taken")

// start starts a server on a free port and returns when it takes connections. After an error the server is stopped.
func (c *cluster) start(ctx context.Context, cfg Config) (*Server, error) {
	port, err := process.FreePort(ctx)
	if err != nil {
		return nil, err
	}
	super, err := process.Start(process.Config{
		Args: c.arguments(port, cfg), Account: c.acc, Log: c.log, Signal: c.signal(), Remove: c.home, Lock: c.lock,
	})
	if err != nil {
		c.remove()
		return nil, err
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword("postgres", c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	s := &Server{url: u.String(), super: super}
	if err := s.waitReady(ctx, c); err != nil {
		return nil, errors.Join(err, super.Stop())
	}
	return s, nil
}

// arguments returns the arguments of the server program.
func (c *cluster) arguments(port int, cfg Config) []string {
	settings := map[string]string{
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   "",
		"max_connections":           "200",
		"max_prepared_transactions": "10",
		"logging_collector":         "off",
	}
	if !cfg.Fsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, cfg.Settings)
	args := []string{filepath.Join(c.bin, "postgres"), "-D", c.data, "-p", strconv.Itoa(port)}
	for k, v := range settings {
		args = append(args, "-c", k+"="+v)
	}
	return args
}

// waitReady returns nil when the server answers, which it tries every 10 ms, and an error with the end of the log when
// the server has ended or ctx is done.
func (s *Server) waitReady(ctx context.Context, c *cluster) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// The supervisor removes the log with the directory; a handle still reads it.
	log, err := os.Open(c.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.super.Done():
			text := tail(log)
			if strings.Contains(text, "could not bind") {
				return fmt.Errorf("%w\n%s", errPortTaken, text)
			}
			return fmt.Errorf("the server ended\n%s", text)
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w\n%s", context.Cause(ctx), tail(log))
		case <-tick.C:
		}
	}
}

// tail returns the last 2,000 bytes of the server's log, or why they cannot be read.
func tail(log io.Reader) string {
	const most = 2000
	b, err := io.ReadAll(log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// command returns a command, not started, for the program called name in c.bin. It runs as the server's user, in the
// data directory.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.SysProcAttr = c.acc.Attr()
	cmd.Dir = c.data
	return cmd
}
