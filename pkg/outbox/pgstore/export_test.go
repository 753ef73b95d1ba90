package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Statements are those that call a function of the schema, by what they are for.
func Statements() map[string]string {
	return map[string]string{
		"scan": scanSQL, "backfill": backfillSQL, "sweep": sweepSQL, "gaps": gapsSQL, "backlog": backlogSQL, "settle": settleSQL,
		"bury": burySQL, "content": contentSQL,
	}
}

// SchemaFunctions are the texts of the functions of the schema, by name.
func SchemaFunctions() map[string]string {
	texts := make(map[string]string)
	for _, f := range readSchema().all() {
		texts[f.name] = f.text
	}
	return texts
}

// MigrateWith migrates to the schema of this package with another text for one
// function, or without that function where the text is empty, as another version of
// this package would.
func MigrateWith(ctx context.Context, pool *pgxpool.Pool, name, text string) (Migrated, error) {
	s := readSchema()
	replaced := s.functions[:0:0]
	for _, f := range s.functions {
		if f.name != name {
			replaced = append(replaced, f)
		}
	}
	if text != "" {
		replaced = append(replaced, newFunction(name, text))
	}
	s.functions = replaced
	return migrate(ctx, pool, s, options{})
}
