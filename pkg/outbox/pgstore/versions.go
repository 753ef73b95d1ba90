package pgstore

// versionTable is where goose records which migrations were applied. base.sql makes it.
const versionTable = "outbox.migrations"

// versionQuerier has the statements by which goose reads and writes versionTable. Every name in them has its schema, so
// that they mean the same whatever the search_path of the session is. The arguments are versionTable.
type versionQuerier struct{}

// CreateTable is never run: the table is there before goose begins.
func (versionQuerier) CreateTable(table string) string {
	return "create table " + table + " ()"
}

// InsertVersion returns the statement that adds the row of a migration.
func (versionQuerier) InsertVersion(table string) string {
	return "insert into " + table + " (version_id, is_applied) values ($1, $2)"
}

// DeleteVersion returns the statement that deletes the rows of a migration.
func (versionQuerier) DeleteVersion(table string) string {
	return "delete from " + table + " where version_id operator(pg_catalog.=) $1"
}

// GetMigrationByVersion returns the statement that reads the newest row of a migration.
func (versionQuerier) GetMigrationByVersion(table string) string {
	return "select tstamp, is_applied from " + table + " where version_id operator(pg_catalog.=) $1 order by tstamp desc limit 1"
}

// ListMigrations returns the statement that reads all rows, the newest first.
func (versionQuerier) ListMigrations(table string) string {
	return "select version_id, is_applied from " + table + " order by id desc"
}

// GetLatestVersion returns the statement that reads the highest number of a migration.
func (versionQuerier) GetLatestVersion(table string) string {
	return "select pg_catalog.max(version_id) from " + table
}

// TableExists returns the statement that reads whether the table is there.
func (versionQuerier) TableExists(table string) string {
	return "select pg_catalog.to_regclass('" + table + "') is not null"
}
