//go:build unix

package pgserver

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// orphan starts a server that has no supervisor.
func orphan(t *testing.T) (c *cluster, addr string) {
	t.Helper()
	ctx := t.Context()
	acc, err := process.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := findBin(ctx, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, err = newCluster(ctx, Config{}, bin, acc)
	if err != nil {
		t.Fatal(err)
	}
	port, err := process.FreePort(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.command(ctx, "pg_ctl", "start", "-w", "-D", c.data, "-l", c.log,
		"-o", "-p "+strconv.Itoa(port)+" -c listen_addresses=127.0.0.1 -c unix_socket_directories=").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return c, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func TestLeftoverIsEndedOnlyWhenNobodyHoldsItsLock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, addr := orphan(t)
	pidFile := filepath.Join(c.data, "postmaster.pid")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}

	removeLeftover(ctx, c.home, c.bin, c.acc)
	if _, err := os.Stat(pidFile); err != nil {
		t.Fatalf("a server whose lock is held was ended: %v", err)
	}

	c.unlock()
	removeLeftover(ctx, c.home, c.bin, c.acc)
	// A process that nobody reaps is still there, but nothing listens any more.
	if conn, err := net.Dial("tcp", addr); err == nil {
		t.Errorf("the server still listens: %v", conn.Close())
	}
	if _, err := os.Stat(c.home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory is still there: %v", err)
	}
}

func TestNewestPassesOverOldServers(t *testing.T) {
	t.Parallel()
	fake := func(version string) string {
		dir := t.TempDir()
		for _, name := range []string{"postgres", "initdb"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) "+version+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	old, a, b, c := fake("9.6.24"), fake("16.4"), fake("18beta1"), fake("18.3")
	if got := newest(t.Context(), []string{t.TempDir(), old, a, b, c}, 0); got != b {
		t.Errorf("newest = %s, want the first 18, %s", got, b)
	}
	if got := newest(t.Context(), []string{b, a}, 16); got != a {
		t.Errorf("newest = %s, want the one of 16, %s", got, a)
	}
	for only, dir := range map[int]string{0: old, 9: old, 17: a} {
		if got := newest(t.Context(), []string{dir}, only); got != "" {
			t.Errorf("newest = %s, want none", got)
		}
	}
}
