//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what was used up to a time.
type usage struct {
	at                                          time.Time
	relay, postgres, broker, producers, machine time.Duration
	wal                                         int64
	transactions                                int64
}

// measure reads the counters of all processes.
func (t *trial) measure(ctx context.Context) (usage, error) {
	u := usage{at: time.Now(), machine: machineBusy()}
	if t.systemPID != 0 {
		u.relay = processor(t.systemPID, false)
	}
	u.broker = processor(t.broker.cmd.Process.Pid, false)
	// The producers have ended by then: they are among the children waited for.
	var children syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		return u, err
	}
	u.producers = time.Duration(children.Utime.Nano() + children.Stime.Nano())
	for _, pid := range find("cwd", t.dataDir) {
		u.postgres += processor(pid, t.postmaster() == pid)
	}
	err := t.pool.QueryRow(ctx, `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
		(select xact_commit + xact_rollback from pg_stat_database where datname = current_database())`).Scan(&u.wal, &u.transactions)
	return u, err
}

// postmaster returns the process whose children are the backends.
func (t *trial) postmaster() int {
	b, err := os.ReadFile(t.dataDir + "/postmaster.pid")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, _ := strconv.Atoi(line)
	return pid
}

func parent(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	n, _ := strconv.Atoi(fields[1])
	return n
}
