package pgstore_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// What a pooler refuses with a protocol_violation, the one code of PgBouncer 1.18: each in another state of the
// connection.
const (
	atOnce          = "no more connections allowed (max_client_conn)"
	behindPassword  = "password authentication failed"
	behindStatement = "query_wait_timeout"
)

// pooler answers connections to the address that it returns as PgBouncer does, and refuses each for the reason.
func pooler(t *testing.T, reason string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go refuse(c, reason)
		}
	}()
	return l.Addr().String()
}

// refuse answers one connection.
func refuse(c net.Conn, reason string) {
	defer func() { _ = c.Close() }()
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	if reason != atOnce {
		b.Send(&pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}})
		if b.Flush() != nil || b.SetAuthType(pgproto3.AuthTypeMD5Password) != nil {
			return
		}
		if _, err := b.Receive(); err != nil {
			return
		}
	}
	if reason == behindStatement {
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if b.Flush() != nil {
			return
		}
		if _, err := b.Receive(); err != nil {
			return
		}
	}
	b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: reason})
	_ = b.Flush()
}

func TestAFullPoolerIsNoRefusedPassword(t *testing.T) {
	t.Parallel()
	for reason, refused := range map[string]bool{atOnce: false, behindPassword: true, behindStatement: false} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			var asked, dropped atomic.Int32
			_, err := pgstore.Connect(t.Context(), pgstore.Config{
				URL: "postgres://relay@" + pooler(t, reason) + "/outbox?sslmode=disable",
				Password: func(context.Context, string, uint16, string) (string, error) {
					asked.Add(1)
					return "secret", nil
				},
				OnAuthFailure: func() { dropped.Add(1) },
			})
			if errors.Is(err, pgstore.ErrDenied) != refused || errors.Is(err, pgstore.ErrUnreachable) == refused {
				t.Errorf("error = %v", err)
			}
			if (dropped.Load() > 0) != refused || (asked.Load() > 1) != refused {
				t.Errorf("asked %d times for the password, dropped it %d times", asked.Load(), dropped.Load())
			}
		})
	}
}
