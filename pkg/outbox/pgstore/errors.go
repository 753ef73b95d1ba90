package pgstore

import "github.com/serverless-outbox/serverless-outbox/internal/pgdb"

// Errors of this package wrap one of these where the caller, or the operator of the database, can do something about
// it. All others are passed on as they are.
var (
	// ErrUnreachable means that no connection could be made or that it broke. The outcome of what was under way is
	// unknown. Trying again may help.
	ErrUnreachable = pgdb.ErrUnreachable
	// ErrDenied means that the login or a privilege was refused.
	ErrDenied = pgdb.ErrDenied
	// ErrSchema means that the schema is missing, is older than this package or has other functions. [Migrate] mends
	// that.
	ErrSchema = pgdb.ErrSchema
	// ErrSchemaNewer means that the schema is newer than this package. A relay works with it; [Migrate] leaves it as
	// it is.
	ErrSchemaNewer = pgdb.ErrSchemaNewer
	// ErrReadOnly means that the connection led to a replica, as old ones do after a failover, or that its transactions
	// are set to read only. A pool of [Connect] closes a connection on which a statement failed so; trying again may
	// help.
	ErrReadOnly = pgdb.ErrReadOnly
	// ErrBusy means that the database refused the call or ended the transaction because of others: too many
	// connections, a deadlock, a timeout of its own. That transaction changed nothing. Trying again mostly helps.
	ErrBusy = pgdb.ErrBusy
	// ErrOwner means that the schema outbox, or something in it, belongs to another role than the one that migrates.
	ErrOwner = pgdb.ErrOwner
	// ErrSettings means that the database has settings under which events would be lost or reordered.
	ErrSettings = pgdb.ErrSettings
)
