// Package pgadmin has the SQL statements of the janitor, of redrives and replays, and of the commands that show where
// events are. The schema and the statements of the relay are in pgstore.
package pgadmin
