package pgstore

import (
	"fmt"
	"regexp"
)

// MigrateOption is an option of [Migrate] and [MigrationSQL].
type MigrateOption func(*options)

// options are those of one migration. An empty rolePrefix leaves the prefix as it is, which is DefaultRolePrefix in a
// new schema.
type options struct{ rolePrefix string }

// DefaultRolePrefix is the first part of the names of the four roles where no other was chosen, such as in outbox_relay.
const DefaultRolePrefix = "outbox"

// RolePrefix makes prefix_writer, prefix_relay, prefix_redrive and prefix_janitor the roles of the database. Roles belong
// to the whole server: databases with the same prefix share them, so that a login of one may use the outbox of the
// others that it may connect to. The prefix is kept in the database; where it had another one, the roles with that
// prefix lose their rights on the schema. An empty prefix leaves it as it is.
//
// The prefix is a letter and up to 39 letters, digits or underscores, all lower case; any other is an error of the call
// that has the option. So is a prefix of which a role exists already and has members, unless it is the present one.
func RolePrefix(prefix string) MigrateOption { return func(o *options) { o.rolePrefix = prefix } }

var rolePrefixes = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// migrateOptions returns the options of a call, or an error when one of them is at fault.
func migrateOptions(list []MigrateOption) (options, error) {
	var o options
	for _, option := range list {
		option(&o)
	}
	if o.rolePrefix != "" && !rolePrefixes.MatchString(o.rolePrefix) {
		return o, fmt.Errorf("role prefix %q: must be a letter and up to 39 letters, digits or underscores, all lower case", o.rolePrefix)
	}
	return o, nil
}
