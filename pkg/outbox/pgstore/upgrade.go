package pgstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
)

// settings are the statements that come first in every transaction that makes a part of the schema: some functions
// have bodies in which names are looked up when the function is created, texts have backslashes that are to stay, and
// a timeout for the statements of relays is none for a migration.
const settings = `set local search_path = pg_catalog, pg_temp;
set local standard_conforming_strings = on;
set local statement_timeout = 0`

// upgrade brings a database to a schema. made and dropped are the names of the functions that it has made and dropped
// so far, for Migrated.
type upgrade struct {
	schema  schema
	options options
	made    []string
	dropped []string
}

// migrations returns the migrations of the schema as goose runs them, each in a transaction of its own. Each migration
// first makes the functions of before/, because tables need them; the last one also makes all others, at its end.
func (u *upgrade) migrations() []*goose.Migration {
	all := make([]*goose.Migration, 0, len(u.schema.migrations))
	for _, m := range u.schema.migrations {
		run := func(ctx context.Context, tx *sql.Tx) error {
			if err := u.begin(ctx, tx); err != nil {
				return err
			}
			if err := execute(ctx, tx, m.text); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			if m.version == u.schema.version() {
				return u.finish(ctx, tx)
			}
			return nil
		}
		all = append(all, goose.NewGoMigration(m.version, &goose.GoFunc{RunTx: run}, nil))
	}
	return all
}

// begin prepares for a migration, in its transaction tx: it runs prelude.sql if the table outbox.functions is
// missing, and makes the functions of before/ that are missing or whose text has changed.
func (u *upgrade) begin(ctx context.Context, tx *sql.Tx) error {
	if err := execute(ctx, tx, settings); err != nil {
		return err
	}
	var first bool
	if err := tx.QueryRowContext(ctx, "select to_regclass('outbox.functions') is null").Scan(&first); err != nil {
		return fmt.Errorf("find functions: %w", err)
	}
	if first {
		if err := execute(ctx, tx, u.schema.prelude); err != nil {
			return err
		}
		// The functions are granted to roles with the prefix as they are made.
		if err := u.setRolePrefix(ctx, tx, "update outbox.settings set role_prefix = $1"); err != nil {
			return err
		}
	}
	recorded, err := readRecorded(ctx, tx)
	if err != nil {
		return err
	}
	return u.make(ctx, tx, u.schema.before, recorded)
}

// finish brings all functions of the database to the schema, in the transaction tx: it makes those that are missing or
// whose text has changed, and drops those that the schema has no more. When it made outbox.grant_roles() it calls that
// function, which grants rights on the tables.
func (u *upgrade) finish(ctx context.Context, tx *sql.Tx) error {
	if err := execute(ctx, tx, settings); err != nil {
		return err
	}
	recorded, err := readRecorded(ctx, tx)
	if err != nil {
		return err
	}
	all := u.schema.all()
	if err := u.make(ctx, tx, all, recorded); err != nil {
		return err
	}
	for _, f := range all {
		delete(recorded, f.name)
	}
	for name := range recorded {
		if err := drop(ctx, tx, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "delete from outbox.functions where name = $1", name); err != nil {
			return fmt.Errorf("drop function %s: %w", name, err)
		}
		u.dropped = append(u.dropped, name)
	}
	if slices.Contains(u.made, "grant_roles") {
		if err := execute(ctx, tx, "select outbox.grant_roles()"); err != nil {
			return err
		}
	}
	return u.setRolePrefix(ctx, tx, "select outbox.set_role_prefix($1)")
}

// setRolePrefix runs statement with the prefix of the options, unless that is empty or the one that the database has. It
// fails when a role with the new prefix exists already and has other members than the user.
func (u *upgrade) setRolePrefix(ctx context.Context, tx *sql.Tx, statement string) error {
	prefix := u.options.rolePrefix
	if prefix == "" {
		return nil
	}
	var same bool
	var members sql.NullString
	err := tx.QueryRowContext(ctx, `
		select s.role_prefix = $1, (
			select string_agg(format('%s has the member %s', r.rolname, m.rolname), ', ' order by r.rolname, m.rolname)
			from unnest(array['writer', 'relay', 'redrive', 'janitor']) as w (name)
			join pg_roles r on r.rolname = $1 || '_' || w.name
			join pg_auth_members a on a.roleid = r.oid
			join pg_roles m on m.oid = a.member and m.rolname <> current_user)
		from outbox.settings s`, prefix).Scan(&same, &members)
	switch {
	case err != nil:
		return fmt.Errorf("read role prefix: %w", err)
	case same:
		return nil
	case members.Valid:
		return fmt.Errorf("role prefix %s: %s, who could use this outbox: choose another prefix, or revoke the role", prefix, members.String)
	}
	if _, err := tx.ExecContext(ctx, statement, prefix); err != nil {
		return fmt.Errorf("set role prefix: %w", err)
	}
	return nil
}

// make makes each of the functions that is missing in the database or whose SHA-256 is not the recorded one, and
// records it in outbox.functions. recorded has the rows of that table by name. A function whose declaration has
// changed is dropped first.
func (u *upgrade) make(ctx context.Context, tx *sql.Tx, functions []function, recorded map[string]record) error {
	for _, f := range functions {
		r := recorded[f.name]
		if r.exists && r.sum == f.sum {
			continue
		}
		// Arguments and result cannot be replaced, and other arguments would make a second function of that name.
		if r.declaration != f.declaration {
			if err := drop(ctx, tx, f.name); err != nil {
				return err
			}
		}
		if err := execute(ctx, tx, f.text); err != nil {
			return fmt.Errorf("function %s: %w", f.name, err)
		}
		_, err := tx.ExecContext(ctx, "update outbox.functions set sha256 = $2, declaration = $3 where name = $1", f.name, f.sum, f.declaration)
		if err != nil {
			return fmt.Errorf("function %s: %w", f.name, err)
		}
		u.made = append(u.made, f.name)
	}
	return nil
}

// record is what the database has of a function: from its row in outbox.functions, the SHA-256 of the text that made
// it and its declaration (name, arguments and result); and whether the function exists.
type record struct {
	sum, declaration string
	exists           bool
}

// readRecorded returns the rows of outbox.functions by the name of the function.
func readRecorded(ctx context.Context, tx *sql.Tx) (recorded map[string]record, err error) {
	rows, err := tx.QueryContext(ctx, `
		select f.name, f.sha256, f.declaration,
		       exists (select from pg_proc p where p.pronamespace = 'outbox'::regnamespace and p.proname = f.name)
		from outbox.functions f`)
	if err != nil {
		return nil, fmt.Errorf("read functions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	recorded = make(map[string]record)
	for rows.Next() {
		var name string
		var r record
		if err := rows.Scan(&name, &r.sum, &r.declaration, &r.exists); err != nil {
			return nil, fmt.Errorf("read functions: %w", err)
		}
		recorded[name] = r
	}
	return recorded, rows.Err() //nolint:wrapcheck // says what it did
}

// drop drops every function of the schema outbox with that name, whatever its arguments. It does nothing when
// there is none.
func drop(ctx context.Context, tx *sql.Tx, name string) error {
	var statements sql.NullString
	err := tx.QueryRowContext(ctx, `
		select string_agg('drop function ' || p.oid::regprocedure, '; ')
		from pg_proc p
		where p.pronamespace = 'outbox'::regnamespace and p.proname = $1`, name).Scan(&statements)
	if err == nil && statements.Valid {
		err = execute(ctx, tx, statements.String)
	}
	if err != nil {
		return fmt.Errorf("drop function %s: %w", name, err)
	}
	return nil
}

// execute runs a text of one or several statements in tx. It uses the simple protocol, the only one that takes several.
func execute(ctx context.Context, tx *sql.Tx, text string) error {
	_, err := tx.ExecContext(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return err //nolint:wrapcheck // named by the caller
}
