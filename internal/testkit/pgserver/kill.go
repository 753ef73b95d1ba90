//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Kill ends the server as the end of its machine does: all its processes are killed with SIGKILL, and none answers any
// more. Its directory goes with it, unless Config.DataDir named it. It returns when the server is gone, and an error
// when the server takes no connection or a process cannot be killed. A Stop after it changes nothing.
func (s *Server) Kill(ctx context.Context) error {
	postmaster, segment, err := s.cluster.postmaster()
	if err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	// A stopped postmaster starts no process that the look at all of them would miss, and does not see them end.
	if err = syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return errors.Join(fmt.Errorf("kill postgres: %w", err), conn.Close(ctx))
	}
	rows, err := conn.Query(ctx, "select pid from pg_catalog.pg_stat_activity")
	var pids []int
	if err == nil {
		pids, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	// Last the postmaster: the supervisor then removes the directory.
	for _, pid := range append(pids, postmaster) {
		if failed := syscall.Kill(pid, syscall.SIGKILL); failed != nil && !errors.Is(failed, syscall.ESRCH) {
			err = errors.Join(err, failed)
		}
	}
	_ = conn.Close(ctx) // The process at the other end is gone.
	if err = errors.Join(err, s.super.Stop()); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	// The few bytes of shared memory by which a server knows that another one runs on the same data outlive a kill.
	_ = exec.CommandContext(ctx, "ipcrm", "-m", segment).Run() // Where there is no ipcrm they stay until the machine's end.
	return nil
}

// postmaster returns the process id of the running server of the cluster, and the id of its System V shared memory.
func (c *cluster) postmaster() (pid int, segment string, err error) {
	b, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if err != nil {
		return 0, "", err
	}
	// The seventh line has the key and the id of the shared memory.
	lines := strings.Split(string(b), "\n")
	if len(lines) > 6 {
		if words := strings.Fields(lines[6]); len(words) == 2 {
			segment = words[1]
		}
	}
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	return pid, segment, err
}
