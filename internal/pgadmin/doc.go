// Package pgadmin is the outbox in PostgreSQL for its operator: the statements
// of the janitor, of redrives and replays, and of the commands that show where
// events are. The relay needs none of it; the schema and the statements of the
// relay are in pgstore.
package pgadmin
