package pgstore

import (
	"fmt"
	"io"
	"strings"
)

// MigrationSQL writes the whole schema to w as plain SQL in one transaction, for teams that migrate with a tool of
// their own. The SQL is for a database that has no outbox yet. It also records versions and functions, so that
// [Store.Check] and [Migrate] know what is there. The errors of MigrationSQL are those of w and of options.
func MigrationSQL(w io.Writer, options ...MigrateOption) error {
	o, err := migrateOptions(options)
	if err != nil {
		return fmt.Errorf("migration sql: %w", err)
	}
	s := readSchema()
	var b strings.Builder
	fmt.Fprintf(&b, `begin;

%s;

create schema if not exists outbox;

%s
%s
`, settings, s.owner, s.base)
	if o.rolePrefix != "" {
		fmt.Fprintf(&b, "update outbox.settings set role_prefix = '%s';\n", o.rolePrefix)
	}
	b.WriteString(s.prelude)
	for _, f := range s.before {
		f.print(&b)
	}
	for _, m := range s.migrations {
		fmt.Fprintf(&b, "\n%s\ninsert into outbox.migrations (version_id, is_applied) values (%d, true);\n", m.text, m.version)
	}
	for _, f := range s.functions {
		f.print(&b)
	}
	b.WriteString("\nselect outbox.grant_roles();\n\ncommit;\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("migration sql: %w", err)
	}
	return nil
}

// print appends the SQL that makes f and records it in outbox.functions to b.
func (f function) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n%supdate outbox.functions set sha256 = '%s', declaration = '%s' where name = '%s';\n",
		f.text, f.sum, strings.ReplaceAll(f.declaration, "'", "''"), f.name)
}
