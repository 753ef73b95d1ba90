package security_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// words returns all words of the schema and of the sources that have statements: every name that the outbox uses is one
// of them.
func words(t *testing.T) []string {
	t.Helper()
	var text strings.Builder
	if err := pgstore.MigrationSQL(&text); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"pkg/outbox/*", "pkg/outbox/pgstore/*", "internal/pgadmin/*", "internal/pgadmin/sql/*"} {
		files, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil {
				text.Write(content)
			}
		}
	}
	all := regexp.MustCompile(`[a-z_][a-z0-9_]*`).FindAllString(text.String(), -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// The types that stand for a polymorphic argument, and those of the operators that are planted beside the existing ones.
var (
	concrete = []string{
		"text", "bigint", "integer", "smallint", "uuid", "json", "timestamp with time zone", "boolean", "name", "regclass", "numeric", "interval",
		"double precision", "oid",
	}
	operands  = []string{"bigint", "integer", "smallint", "text", "interval", "double precision", "uuid", "name", "oid", "regclass"}
	operators = []string{"=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "||", "&", "%", "~", "!~", "@>", "&&", "^", "->", "->>"}
)

// plant makes objects in public, as a login that may create there can: functions, operators, types and tables with the
// names that the outbox uses of pg_catalog. Each function has the arguments of one of pg_catalog, or arguments that
// are a better match than those where they are polymorphic, and raises an error with the word trap.
func plant(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx := t.Context()
	used := words(t)
	var b strings.Builder
	b.WriteString("set search_path = pg_catalog;\n")
	statements := make(map[string]bool)
	function := func(name string, arguments []string, result string) {
		signature := fmt.Sprintf("public.%s(%s)", pgx.Identifier{name}.Sanitize(), strings.Join(arguments, ", "))
		key := "create function " + signature
		if !statements[key] {
			statements[key] = true
			fmt.Fprintf(&b, "%s returns %s language plpgsql as $x$begin raise exception 'trap: %s'; end$x$;\n",
				key, result, strings.ReplaceAll(signature, "'", ""))
		}
	}
	for _, o := range overloads(ctx, t, conn, used) {
		for _, c := range o.concretised() {
			function(o.name, c.arguments, c.result)
		}
	}
	for _, left := range operands {
		for _, right := range operands {
			function("trap_operator", []string{left, right}, "boolean")
		}
	}
	for _, list := range []string{"text[]", "bigint[]"} {
		function("trap_operator", []string{list, list}, "boolean")
	}
	for _, o := range operators {
		for _, left := range operands {
			for _, right := range operands {
				fmt.Fprintf(&b, "create operator public.%s (function = public.trap_operator, leftarg = %s, rightarg = %s);\n", o, left, right)
			}
		}
		for _, list := range []string{"text[]", "bigint[]"} {
			fmt.Fprintf(&b, "create operator public.%s (function = public.trap_operator, leftarg = %s, rightarg = %s);\n", o, list, list)
		}
	}
	b.WriteString("create function public.trap_type() returns boolean language plpgsql as $x$begin raise exception 'trap: type'; end$x$;\n")
	for _, name := range []string{"text", "uuid", "json", "timestamptz", "name", "oid", "regclass", "int8", "numeric", "int8multirange"} {
		fmt.Fprintf(&b, "create domain public.%[1]s as pg_catalog.%[1]s check (public.trap_type());\n", name)
	}
	for _, name := range relations(ctx, t, conn, used) {
		fmt.Fprintf(&b, "create table public.%s (trap boolean);\n", pgx.Identifier{name}.Sanitize())
	}
	if _, err := conn.Exec(ctx, b.String()); err != nil {
		t.Fatalf("plant: %v", err)
	}
	if n := len(statements); n < 500 {
		t.Errorf("only %d functions were planted", n)
	}
}

// overload is a function of pg_catalog with one list of arguments.
type overload struct {
	name, result string
	arguments    []string
	variadic     bool
}

// overloads returns the functions of pg_catalog that have one of the names.
func overloads(ctx context.Context, t *testing.T, conn *pgx.Conn, names []string) []overload {
	t.Helper()
	rows, err := conn.Query(ctx, `
		select p.proname::text, array(select a.t::regtype::text from unnest(p.proargtypes) with ordinality as a (t, i) order by a.i),
		       p.prorettype::regtype::text, p.provariadic = '"any"'::regtype
		from pg_catalog.pg_proc p
		where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any ($1::text[])`, names)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o overload, err error) {
		err = row.Scan(&o.name, &o.arguments, &o.result, &o.variadic)
		return o, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// concretised returns o as functions that PL/pgSQL can have: with other types for those that stand for any type, and
// with one to five arguments in the place of any number. It returns none for a function of types that have no values.
func (o overload) concretised() []overload {
	none := func(name string) bool {
		return slices.Contains([]string{"internal", "cstring", "trigger", "event_trigger", "language_handler", "index_am_handler", "table_am_handler", "fdw_handler", "tsm_handler"}, name)
	}
	if slices.ContainsFunc(o.arguments, none) {
		return nil
	}
	if none(o.result) || o.result == "record" {
		o.result = "text"
	}
	lists := [][]string{o.arguments}
	if o.variadic {
		lists = nil
		for n := range 5 {
			for first := range 3 {
				list := slices.Clone(o.arguments)
				for i := 1; i <= n; i++ {
					list = append(list, map[bool]string{true: "text", false: `"any"`}[i < first])
				}
				lists = append(lists, list)
			}
		}
	}
	var all []overload
	for _, list := range lists {
		for _, kind := range concrete {
			replacer := map[string]string{
				"anyelement": kind, "anynonarray": kind, "anycompatible": kind, "anycompatiblenonarray": kind, `"any"`: kind, "anyenum": kind,
				"anyarray": kind + "[]", "anycompatiblearray": kind + "[]",
				"anyrange": "int8range", "anycompatiblerange": "int8range", "anymultirange": "int8multirange", "anycompatiblemultirange": "int8multirange",
			}
			c := overload{name: o.name, result: o.result, arguments: slices.Clone(list)}
			for i, a := range c.arguments {
				if r, ok := replacer[a]; ok {
					c.arguments[i] = r
				}
			}
			if r, ok := replacer[c.result]; ok {
				c.result = r
			}
			all = append(all, c)
			if slices.Equal(c.arguments, list) {
				break
			}
		}
	}
	return all
}

// relations returns the tables and views of pg_catalog that have one of the names.
func relations(ctx context.Context, t *testing.T, conn *pgx.Conn, names []string) []string {
	t.Helper()
	rows, err := conn.Query(ctx, `select c.relname::text from pg_catalog.pg_class c
		where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind in ('r', 'v') and c.relname = any ($1::text[])`, names)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}
