package pgdb

import (
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Require sets, among the parameters of a startup message, those that this program needs of every session, in place of
// what is there, and of what a role, a database or the server has by default. They are no more than what pgjdbc, the
// driver for Java, sends as well: PgBouncer and RDS Proxy take these, and refuse a connection for one that they do not
// know. A SET in their place would pin the session of RDS Proxy.
func Require(parameters map[string]string) {
	maps.DeleteFunc(parameters, func(name, _ string) bool {
		switch strings.ToLower(name) {
		case "client_encoding", "datestyle", "timezone":
			return true
		}
		return false
	})
	parameters["client_encoding"] = "UTF8"
	parameters["DateStyle"] = "ISO, MDY"
	parameters["TimeZone"] = "UTC"
}

// checkSession returns an error that wraps ErrSettings when the session of conn has a setting under which texts or times
// would be read or written wrong. It makes no call: the server reports these settings, and each change of them. A
// setting that was not reported passes.
func checkSession(conn *pgx.Conn) error {
	for _, s := range [...]struct {
		name, want string
	}{
		{"client_encoding", "UTF8"},
		{"DateStyle", "ISO"},
	} {
		// DateStyle is reported with the order of day and month, which does not matter.
		got := conn.PgConn().ParameterStatus(s.name)
		if value, _, _ := strings.Cut(got, ","); got != "" && !strings.EqualFold(value, s.want) {
			return fmt.Errorf("%w: %s is %q on this connection: give it %s=%s in the connection string", ErrSettings, s.name, got, s.name, s.want)
		}
	}
	return nil
}

// readOnlyBySetting says whether the transactions of conn are read only because a role, a database or the server sets
// default_transaction_read_only. It makes no call, and answers false where a pooler keeps that setting from its clients.
func readOnlyBySetting(conn *pgx.Conn) bool {
	return conn.PgConn().ParameterStatus("default_transaction_read_only") == "on"
}
