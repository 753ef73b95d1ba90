//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// baseBackup is the program that copies a running cluster. The embedded server comes without it.
const baseBackup = "pg_basebackup"

// ErrNoBaseBackup means that the server's programs lack pg_basebackup, so that there can be no standby.
var ErrNoBaseBackup = errors.New("no " + baseBackup + " beside the server's programs: run apt-get install postgresql (Debian, Ubuntu)")

// Standby makes a streaming standby of the server: a copy of its cluster, made by pg_basebackup, that follows the server
// by the connection via, a host and port that lead to the server, such as those of a proxy. It returns when the standby
// takes connections, which can only read. ctx bounds that alone. The standby has the server's password and settings, and
// is stopped by a [Server.Stop] of its own. The error wraps [ErrNoBaseBackup] where there is no pg_basebackup.
func (s *Server) Standby(ctx context.Context, via string) (*Server, error) {
	acc, bin := s.cluster.acc, s.cluster.bin
	if _, err := os.Stat(filepath.Join(bin, baseBackup)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make a standby: %w", ErrNoBaseBackup)
	} else if err != nil {
		return nil, fmt.Errorf("make a standby: %w", err)
	}
	source, err := s.At(via)
	if err != nil {
		return nil, fmt.Errorf("make a standby: %w", err)
	}
	standby, err := process.OnFreePort(ctx, func(port int) (*Server, error) {
		c, failed := copyCluster(ctx, source, bin, acc)
		if failed != nil {
			return nil, failed
		}
		defer c.unlock()
		return c.start(ctx, s.config, port)
	})
	if err != nil {
		return nil, fmt.Errorf("make a standby: %w", err)
	}
	return standby, nil
}

// At returns the server's URL with the address via, a host and port, in the place of its own.
func (s *Server) At(via string) (string, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return "", err
	}
	if _, _, err = net.SplitHostPort(via); err != nil {
		return "", err
	}
	u.Host = via
	return u.String(), nil
}

// copyCluster makes a temporary directory with a copy of the cluster of the server at the URL source, set up to follow
// that server as a standby. After an error it has removed what it made.
func copyCluster(ctx context.Context, source, bin string, acc *process.Account) (*cluster, error) {
	c := &cluster{bin: bin, acc: acc}
	err := c.makeHome(homesOf(Config{}, acc))
	if err == nil {
		cmd := c.command(ctx, baseBackup, "--pgdata", c.data, "--dbname", source,
			"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%s: %w\n%s", baseBackup, err, out)
		}
	}
	if err == nil {
		err = c.readPassword(filepath.Join(c.data, passwordFile))
	}
	if err != nil {
		c.remove()
		c.unlock()
		return nil, err
	}
	return c, nil
}

// Promote makes a standby a primary and returns when it takes writes. It first replays all that it has received.
func (s *Server) Promote(ctx context.Context) error {
	if out, err := s.cluster.command(ctx, "pg_ctl", "promote", "--pgdata", s.cluster.data, "--wait", "--silent").CombinedOutput(); err != nil {
		return fmt.Errorf("promote: %w\n%s", err, out)
	}
	return nil
}

// Synchronise makes every commit of the server wait until its standby has written it to its log, and returns when the
// standby has all commits so far. Only [Server.Kill] or [Server.Stop] ends that. It errs when ctx ends first, as it does
// when no standby follows.
func (s *Server) Synchronise(ctx context.Context) (err error) {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("synchronise: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range []string{"alter system set synchronous_standby_names = '*'", "select pg_catalog.pg_reload_conf()"} {
		if _, err = conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("synchronise: %w", err)
		}
	}
	for names := ""; names != "*"; {
		if err = conn.QueryRow(ctx, "show synchronous_standby_names").Scan(&names); err != nil {
			return fmt.Errorf("synchronise: %w", err)
		}
	}
	// The checkpointer puts the setting into force for all sessions, before it makes a checkpoint. A transaction with an
	// id of its own then waits for the standby.
	for _, sql := range []string{"checkpoint", "select pg_catalog.pg_current_xact_id()"} {
		if _, err = conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("synchronise: %w", err)
		}
	}
	return nil
}
