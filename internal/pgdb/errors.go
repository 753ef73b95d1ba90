package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// The errors that a caller, or the operator of the database, can do something about. All others are passed on as they
// are.
var (
	// ErrUnreachable means that no connection could be made or that it broke. The outcome of what was under way is
	// unknown. Trying again may help.
	ErrUnreachable = errors.New("the database cannot be reached: check its address, its security group and that it runs")
	// ErrDenied means that the login or a privilege was refused.
	ErrDenied = errors.New("the database denied access")
	// ErrSchema means that the schema is missing, is older than this program or has other functions.
	ErrSchema = errors.New("the outbox schema is missing or too old: run: outbox migrate")
	// ErrSchemaNewer means that the schema is newer than this program, which leaves it as it is.
	ErrSchemaNewer = errors.New("the outbox schema is newer than this program: upgrade the outbox command")
	// ErrReadOnly means that the connection led to a replica, as old ones do after a failover, or that its transactions
	// are set to read only. Trying again may help.
	ErrReadOnly = errors.New("the database takes no changes: connect to the writer endpoint, and leave default_transaction_read_only off")
	// ErrBusy means that the database refused the call or ended the transaction because of others: too many
	// connections, a deadlock, a timeout of its own. That transaction changed nothing. Trying again mostly helps.
	ErrBusy = errors.New("the database is busy")
	// ErrOwner means that the schema outbox, or something in it, belongs to another role than the one that migrates, or
	// that others may create in it: what they made there would run with the rights of the migrating role.
	ErrOwner = errors.New("the outbox schema is not that of this user alone")
	// ErrSettings means that the database has settings under which events would be lost or reordered.
	ErrSettings = errors.New("the database's settings do not allow it")
)

// readOnlyTransaction is the SQLSTATE read_only_sql_transaction.
const readOnlyTransaction = "25006"

// ReadOnlyLogin returns the error, which wraps ErrReadOnly, for a login whose transactions are read only by a setting of
// the role, the database or the server.
func ReadOnlyLogin(login string) error {
	return fmt.Errorf("%w: default_transaction_read_only is on for the login %q: set it to off with ALTER ROLE or ALTER DATABASE", ErrReadOnly, login)
}

// Translate returns an error that begins with op, the name of an operation, and wraps err, and also the error of this
// package that says what can be done about err, where one does. roles names the roles that may do op, for the text
// where a privilege is missing; empty is not known. It returns nil for nil.
func Translate(op, roles string, err error) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	switch {
	case kind == nil || errors.Is(err, kind):
		return fmt.Errorf("%s: %w", op, err)
	case errors.Is(kind, ErrDenied):
		return fmt.Errorf("%s: %w: %s: %w", op, kind, access(err, roles), err)
	}
	return fmt.Errorf("%s: %w: %w", op, kind, err)
}

// access says what lets a login in for which err is ErrDenied. roles is that of Translate.
func access(err error, roles string) string {
	switch pgErr, ok := errors.AsType[*pgconn.PgError](err); {
	case !ok || pgErr.Code != insufficientPrivilege:
		return "check user and password"
	case roles == "":
		return "the login lacks a privilege"
	}
	return "grant the login the role " + roles
}

const insufficientPrivilege = "42501"

// kindOf returns the error of this package that says what can be done about err, nil when none does. None does for a
// context that ended, which the caller caused, unless the server answered with an error of its own.
func kindOf(err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return kindOfCode(pgErr.Code)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return ErrUnreachable
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrUnreachable
	}
	return nil
}

// kindOfCode returns the error of this package for code, an SQLSTATE as in appendix A of the PostgreSQL manual, nil
// when there is none.
func kindOfCode(code string) error {
	switch code {
	case "28P01", "28000", insufficientPrivilege: // invalid_password, invalid_authorization_specification
		return ErrDenied
	case "3F000", "42P01", "42883", "42703": // invalid_schema_name, undefined_table, undefined_function, undefined_column
		return ErrSchema
	case readOnlyTransaction:
		return ErrReadOnly
	case "40001", "40P01", "55P03", "57014", "53300": // serialization_failure, deadlock_detected, lock_not_available, query_canceled, too_many_connections
		return ErrBusy
	case "57P01", "57P02", "57P03", "3D000": // admin_shutdown, crash_shutdown, cannot_connect_now, invalid_catalog_name
		return ErrUnreachable
	case "OB001": // raised by owner.sql
		return ErrOwner
	case "55000": // object_not_in_prerequisite_state, raised by outbox.join_relay
		return ErrSettings
	}
	if len(code) == 5 && code[:2] == "08" { // connection exceptions
		return ErrUnreachable
	}
	return nil
}

// IsAuthFailure says whether err is that a password or a login was refused.
func IsAuthFailure(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == invalidPassword || pgErr.Code == "28000")
}

const invalidPassword = "28P01"

// NameRefusal gives pgErr, which came over conn, the code of a refused password if it is one under another code:
// PgBouncer before 1.19 reports all that it refuses as a protocol_violation, also that it is full (max_client_conn)
// and that its servers are busy (query_wait_timeout). Only a refused password follows the server's request for one,
// with no acceptance in between. The one exception is a query_wait_timeout behind an MD5 or a plain password, which
// PgBouncer does not acknowledge before it has a server.
func NameRefusal(conn *pgconn.PgConn, pgErr *pgconn.PgError) {
	if pgErr.Code != "08P01" { // protocol_violation
		return
	}
	switch conn.Frontend().GetAuthType() {
	case pgproto3.AuthTypeCleartextPassword, pgproto3.AuthTypeMD5Password, pgproto3.AuthTypeSASL, pgproto3.AuthTypeSASLContinue:
		pgErr.Code = invalidPassword
	}
}
