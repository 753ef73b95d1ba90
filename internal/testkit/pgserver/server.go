//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// Config describes a server. The zero value is a throw-away server for tests.
type Config struct {
	// Fsync makes the server as durable as an ordinary one. Without it commits cost no disk write, and nothing that
	// is measured says anything about a real server. Defaults to false.
	Fsync bool
	// Settings are further configuration parameters, such as wal_level. They
	// win over the ones of this package. Defaults to none.
	Settings map[string]string
	// DataDir is the folder of the cluster. A cluster is made when the folder is missing or
	// empty; otherwise it must have one that this package made. It is kept. Defaults to a
	// temporary directory that is removed when the server stops; without Fsync it is in memory, where there is room.
	DataDir string
	// Embedded takes the embedded server even when one is installed: programs that are fetched once, 15 MB a version,
	// and then kept in the user's cache directory (root: in /var/cache). Defaults to false: then the programs are
	// those in $PG_BIN, else the newest of 15 or later that packages installed, else the embedded ones.
	Embedded bool
	// Version is the major version of the server, from 15 to 18. Only programs of this version are taken, and the
	// embedded ones of this version where none is installed; those in $PG_BIN are an error when they are of another.
	// Defaults to 0: any installed version, and the embedded server's is then 18.
	Version int
}

// Server is a running PostgreSQL server, listening on 127.0.0.1 only. Its methods may be called concurrently.
type Server struct {
	url     string           // what URL returns
	super   *process.Process // the server with its supervisor
	cluster *cluster         // what the server was started with
	config  Config           // the same
}

// Start starts a server and returns when it takes connections. ctx bounds the start only: the server runs until
// [Server.Stop] or the end of the process. Errors have the end of the server's log. When no PostgreSQL can be found
// or fetched, the error wraps a [NotFoundError] that says how to install one. It also stops servers, and removes
// directories, that killed processes left behind.
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
	s, err := process.OnFreePort(ctx, func(port int) (*Server, error) {
		c, failed := newCluster(ctx, cfg, bin, acc)
		if failed != nil {
			return nil, failed
		}
		defer c.unlock()
		return c.start(ctx, cfg, port)
	})
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return s, nil
}

// URL returns the address of the database postgres for the superuser.
func (s *Server) URL() string { return s.url }

// Stop stops the server and removes its directory, unless Config.DataDir named it. Connections are cut. It returns
// when the server is gone, or an error when that takes longer than 30 s; calling it again changes nothing.
func (s *Server) Stop() error { return s.super.Stop() }

// cluster is a data directory with which a server can be started.
type cluster struct {
	bin      string           // the folder with initdb and postgres
	acc      *process.Account // the server's user, nil for that of this process
	home     string           // the temporary folder of data, log and lock; empty when DataDir is the caller's
	data     string           // the data directory
	log      string           // the path of the log file
	lock     *os.File         // nil when DataDir is the caller's
	password string           // of the superuser postgres
}

// start starts a server on the port and returns when it takes connections. After an error the server is stopped. The
// error wraps process.ErrPortTaken when another process took the port.
func (c *cluster) start(ctx context.Context, cfg Config, port int) (*Server, error) {
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
	s := &Server{url: u.String(), super: super, cluster: c, config: cfg}
	if err := super.Await(ctx, s.connect); err != nil {
		return nil, errors.Join(err, super.Stop())
	}
	return s, nil
}

// arguments returns the command line of the server: its program, c.data, the port and the settings, those of cfg last.
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

// connect opens a connection to the server and closes it.
func (s *Server) connect(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// command returns a command, not started, for the program called name in c.bin. It runs as the server's user, in the
// data directory.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.SysProcAttr = c.acc.Attr()
	cmd.Dir = c.data
	return cmd
}
