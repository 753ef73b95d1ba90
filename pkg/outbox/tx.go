package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tx is an open transaction. A [pgx.Tx] is one; [SQL] makes one of a [sql.Tx].
//
// The package never calls Commit or Rollback. They are methods of Tx so that a pool or a bare connection, which
// lack them, cannot be given by mistake: an event that is not written in the transaction of its change can get
// lost, or tell of a change that was rolled back.
type Tx interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

var _ Tx = pgx.Tx(nil)

var (
	// ErrNilTx means that no transaction was given, or a nil pointer to one: nothing was written.
	ErrNilTx = errors.New("transaction is nil")
	// ErrTxClosed means that the transaction is over: nothing was written.
	ErrTxClosed = errors.New("transaction is closed: enqueue before commit or rollback")
	// ErrNoSchema means that the database has no outbox, or one that is too old: a table, column or function is
	// missing.
	ErrNoSchema = errors.New("schema outbox is missing: run outbox migrate")
	// ErrSealed means that a row got its id so long before it was written that its partition is about to be archived
	// and takes no unsent rows. Nothing was written. The same events are taken in a new transaction, which gives them
	// new ids.
	ErrSealed = errors.New("partition is about to be archived: try the transaction again")
	// ErrEncoding means that client_encoding of the transaction's connection is not UTF8, so that texts would be stored
	// wrong: nothing was written.
	ErrEncoding = errors.New("client_encoding is not UTF8: set it in the connection string")
)

// SQL makes a [Tx] of a transaction of database/sql, with any PostgreSQL driver that takes $1 parameters
// (pgx/stdlib and lib/pq are tested). With a nil tx every method returns [ErrNilTx].
func SQL(tx *sql.Tx) Tx { return sqlTx{tx: tx} }

// sqlTx is a transaction of database/sql with the methods of Tx. Every method returns ErrNilTx when tx is nil.
type sqlTx struct{ tx *sql.Tx }

// Exec implements [Tx]: it runs query, and replaces each element of args that is a []string by a text which PostgreSQL
// reads as text[]. The command tag has the number of rows only.
func (t sqlTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if t.tx == nil {
		return pgconn.CommandTag{}, ErrNilTx
	}
	for i, arg := range args {
		if texts, ok := arg.([]string); ok {
			args[i] = arrayLiteral(texts)
		}
	}
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return pgconn.CommandTag{}, err //nolint:wrapcheck // translate wraps it
	}
	n, err := res.RowsAffected()
	return pgconn.NewCommandTag(fmt.Sprintf("INSERT 0 %d", n)), err
}

// Commit implements [Tx]: it commits the transaction.
func (t sqlTx) Commit(context.Context) error {
	if t.tx == nil {
		return ErrNilTx
	}
	return t.tx.Commit() //nolint:wrapcheck // it stands for the call itself
}

// Rollback implements [Tx]: it rolls the transaction back.
func (t sqlTx) Rollback(context.Context) error {
	if t.tx == nil {
		return ErrNilTx
	}
	return t.tx.Rollback() //nolint:wrapcheck // it stands for the call itself
}

// arrayLiteral returns texts in the form in which PostgreSQL reads a text[], such as {"a","b"}. Every driver of
// database/sql can pass such a text.
func arrayLiteral(texts []string) string {
	escaped := strings.NewReplacer(`"`, `\"`, `\`, `\\`)
	quoted := make([]string, 0, len(texts))
	for _, s := range texts {
		quoted = append(quoted, `"`+escaped.Replace(s)+`"`)
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

// isNil says whether tx is no transaction: nil, or a nil pointer, such as a caller has after a Begin that failed.
func isNil(tx Tx) bool {
	if tx == nil {
		return true
	}
	v := reflect.ValueOf(tx)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// sealed is the constraint by which a partition that is about to be archived refuses rows that are not sent.
const sealed = "being_archived"

// constraint returns the name of the constraint that err, a driver's error, is about, empty when there is none.
func constraint(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.ConstraintName
	}
	// pq.Error has the fields of the server's answer by their letters.
	var fields interface {
		error
		Get(letter byte) string
	}
	if errors.As(err, &fields) {
		return fields.Get('n')
	}
	return ""
}

// readsUTF8 says whether the server reads what it is sent on the connection of tx as UTF-8. It makes no call: the server
// reports client_encoding, and each change of it. It answers true when that was not reported.
func readsUTF8(tx pgx.Tx) bool {
	conn := tx.Conn()
	if conn == nil {
		return true
	}
	switch strings.ToUpper(strings.ReplaceAll(conn.PgConn().ParameterStatus("client_encoding"), "-", "")) {
	case "UTF8", "UNICODE", "SQL_ASCII", "":
		return true
	}
	return false
}

// translate wraps a driver's error, and with it the error that says what the caller can do: ErrTxClosed, ErrInvalid,
// ErrSealed, ErrEncoding or ErrNoSchema. It returns other errors as they are.
func translate(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%w (%w)", ErrTxClosed, err)
	}
	// Both pgconn.PgError and pq.Error have SQLState.
	var state interface {
		error
		SQLState() string
	}
	if !errors.As(err, &state) {
		return err
	}
	switch state.SQLState() {
	case "23514": // check_violation
		if constraint(err) == sealed {
			return fmt.Errorf("%w (%w)", ErrSealed, err)
		}
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case "22P02", // invalid_text_representation
		"54001": // statement_too_complex: JSON nested too deeply
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case "22P05", // untranslatable_character, raised by outbox.refuse_encoding
		"22021": // character_not_in_repertoire: what was sent is UTF-8
		return fmt.Errorf("%w (%w)", ErrEncoding, err)
	case "42P01", // undefined_table
		"3F000", // invalid_schema_name
		"42883", // undefined_function
		"42703": // undefined_column
		return fmt.Errorf("%w (%w)", ErrNoSchema, err)
	}
	return err
}
