//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Crash makes the server restart as after a crash: one of its processes is killed, so that PostgreSQL ends all of
// them at once, as an immediate shutdown does, and starts again on the same data and port. Every connection is cut,
// open transactions are gone, and what was committed is recovered from the log. It returns nil when the server takes
// connections again, and an error when it took none before the crash, when the process cannot be killed, or when ctx
// ends. The parameter restart_after_crash must be on, as it is by default.
func (s *Server) Crash(ctx context.Context) error {
	victim, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return fmt.Errorf("crash postgres: %w", err)
	}
	// The end of this connection shows that the server has noticed.
	witness, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return errors.Join(fmt.Errorf("crash postgres: %w", err), victim.Close(ctx))
	}
	err = syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL)
	_ = victim.Close(ctx) // The process at the other end is gone.
	if err != nil {
		return errors.Join(fmt.Errorf("crash postgres: %w", err), witness.Close(ctx))
	}
	err = waitCut(ctx, witness.PgConn().Conn())
	_ = witness.Close(ctx) // Here too.
	if err != nil {
		return fmt.Errorf("crash postgres: %w", err)
	}
	if err = s.super.Await(ctx, s.connect); err != nil {
		return fmt.Errorf("crash postgres: %w", err)
	}
	return nil
}

// waitCut waits until the other side has closed conn and returns nil, or the cause of the end of ctx where that is first.
func waitCut(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(0, 0)) })
	defer stop()
	buffer := make([]byte, 1024)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return context.Cause(ctx) // What the server still sent was read before.
		}
	}
}
