package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

const (
	rowSecuritySQL = "select login, tables from outbox.check_row_security()"
	checkSQL       = "select version, functions::pg_catalog.text, isolation, cache, replica," +
		" pg_catalog.current_setting('default_transaction_read_only')::pg_catalog.bool from outbox.check_schema()"
)

// Check makes sure that the database can be used safely, in two round trips that change nothing: that its
// schema is not older than this package, functions included ([ErrSchema]), that it is not a replica or read only for
// the login ([ErrReadOnly]), and that it has the settings that the order of ids and the search for gaps rest on
// ([ErrSettings]): isolation level read committed, CACHE 1 of the sequence outbox.events_id_seq, and no row level
// security on the tables, which would hide rows. A newer schema passes: relays of the version before go on with it
// while the next version is deployed.
func (s *Store) Check(ctx context.Context) error {
	var (
		version   int64
		functions string
		isolation string
		cache     int64
		replica   bool
		readOnly  bool
		login     string
		secured   []string
	)
	err := s.do(ctx, "check", func(conn *pgxpool.Conn) error {
		if err := conn.QueryRow(ctx, rowSecuritySQL).Scan(&login, &secured); err != nil {
			return err
		}
		if len(secured) > 0 {
			return fmt.Errorf("%w: row level security is on for %s, and hides rows from the login %q: switch it off with ALTER TABLE ... DISABLE ROW LEVEL SECURITY",
				ErrSettings, strings.Join(secured, ", "), login)
		}
		return conn.QueryRow(ctx, checkSQL).Scan(&version, &functions, &isolation, &cache, &replica, &readOnly)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("check: %w", ErrSchema)
	case err != nil:
		return err
	}
	if err := readSchema().check(version, functions); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	switch {
	case replica:
		return fmt.Errorf("check: %w: this server is a replica", ErrReadOnly)
	case readOnly:
		return fmt.Errorf("check: %w", pgdb.ReadOnlyLogin(login))
	case isolation != "read committed":
		return fmt.Errorf("check: %w: default_transaction_isolation is %q: set it to read committed for the login", ErrSettings, isolation)
	case cache != 1:
		return fmt.Errorf("check: %w: the sequence outbox.events_id_seq has CACHE %d, must be 1", ErrSettings, cache)
	}
	return nil
}

// check returns an error that wraps ErrSchema when the schema of a database is older than s, or has other functions.
// version is that of the database, functions a JSON object with the SHA-256 of each of its functions by name. A newer
// version passes, whatever its functions.
func (s schema) check(version int64, functions string) error {
	if version < s.version() {
		return fmt.Errorf("%w: it has version %d, this program needs %d", ErrSchema, version, s.version())
	}
	if version > s.version() {
		return nil
	}
	var sums map[string]string
	if err := json.Unmarshal([]byte(functions), &sums); err != nil {
		return fmt.Errorf("parse functions: %w", err)
	}
	for _, f := range s.all() {
		if sums[f.name] != f.sum {
			return fmt.Errorf("%w: the function outbox.%s is not the one that this program needs", ErrSchema, f.name)
		}
	}
	return nil
}
