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
	// DataDir is the folder of the cluster. It is created when it is missing or empty, used
	// as it is otherwise, and kept. Defaults to a temporary directory that is
	// removed when the server stops.
	DataDir string
	// BinDir is the folder of the programs initdb and postgres. Defaults to the first that
	// is found: $PG_BIN, the newest /usr/lib/postgresql/*/bin, PATH, and at
	// last the embedded server.
	BinDir string
	// Embedded takes the embedded server even when one is installed: programs
	// of PostgreSQL 18 that are fetched once, 15 MB, and then kept in the
	// user's cache directory. Defaults to false.
	Embedded bool
}

// Server is a running PostgreSQL server, listening on 127.0.0.1 only. Its
// methods may be called concurrently.
type Server struct {
	url   string
	super *process.Process
}

// startAttempts bounds the retries after another process took the free port
// between the moment it was found and the moment PostgreSQL bound it.
const startAttempts = 5

// Start starts a server and returns when it takes connections. ctx bounds the
// start only: the server runs until [Server.Stop] or the end of the process.
// Errors hold the end of the server's log. When no PostgreSQL can be found or
// fetched, the error is a [NotFoundError] that says how to install one.
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
// it. Connections are cut. It returns when the server is gone; calling it again
// changes nothing.
func (s *Server) Stop() error { return s.super.Stop() }

// cluster is a data directory with which a server can be started.
type cluster struct {
	bin      string
	acc      *process.Account
	home     string // temporary: the data, the log and the lock; empty when DataDir is the caller's
	data     string
	log      string
	lock     *os.File
	password string
}

var errPortTaken = errors.New("port is taken")

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

// waitReady returns when the server answers, has ended, or ctx is done.
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

// tail returns the end of the server's log, for errors.
func tail(log io.Reader) string {
	const most = 2000
	b, err := io.ReadAll(log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// command returns a program that runs as the server's user.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.SysProcAttr = c.acc.Attr()
	cmd.Dir = c.data
	return cmd
}
