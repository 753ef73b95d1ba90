package pgstore

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The schema as it stands in files: owner.sql and base.sql are run first, each time, prelude.sql once. The functions
// below before/ need no table; tables need them. The files below migrations/ are numbered and run once each: tables, constraints, first
// rows. The functions below functions/ come last. A function is one file, which is run when its text has changed.
//
//go:embed schema
var schemaFiles embed.FS

// migration is a numbered file of SQL, which is run once in a database. version is its number, name the name of
// the file, text its content.
type migration struct {
	version int64
	name    string
	text    string
}

// function is a function of the schema. name is its name without the schema's, which is also that of its file.
type function struct {
	name string
	// text creates or replaces the function and grants the right to execute it.
	text string
	// sum is the SHA-256 of text in hexadecimal digits.
	sum string
	// declaration is what cannot change without dropping the function: its name, arguments and result, with single
	// spaces.
	declaration string
}

// schema is the content of all files, in the order in which they are run: the texts of owner.sql, base.sql and
// prelude.sql, the functions of before/, the migrations, and the functions of functions/.
type schema struct {
	owner      string
	base       string
	prelude    string
	before     []function
	migrations []migration
	functions  []function
}

// readSchema returns the schema in the embedded files. It panics at a file that is none of a schema: that is a bug of
// this package.
func readSchema() schema {
	s := schema{
		owner:     readFile("owner.sql"),
		base:      readFile("base.sql"),
		prelude:   readFile("prelude.sql"),
		before:    readFunctions("before"),
		functions: readFunctions("functions"),
	}
	// The file of every function ends with a call of this one.
	first := slices.IndexFunc(s.before, func(f function) bool { return f.name == "grant_function" })
	s.before = slices.Concat(s.before[first:first+1], s.before[:first], s.before[first+1:])
	for _, file := range filesOf("migrations") {
		number, _, _ := strings.Cut(path.Base(file), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err)
		}
		s.migrations = append(s.migrations, migration{version: version, name: path.Base(file), text: readFile(file)})
	}
	return s
}

// readFunctions returns the functions of a folder of the schema, in the order of their names.
func readFunctions(folder string) []function {
	var functions []function
	for _, file := range filesOf(folder) {
		functions = append(functions, newFunction(strings.TrimSuffix(path.Base(file), ".sql"), readFile(file)))
	}
	return functions
}

// newFunction returns the function name that text, the content of its file, makes. It panics when text does not
// declare a function.
func newFunction(name, text string) function {
	sum := sha256.Sum256([]byte(text))
	_, declaration, _ := strings.Cut(text, "create or replace function ")
	declaration, _, found := strings.Cut(declaration, "\nlanguage ")
	if !found {
		panic(name + ": has no declaration that ends at a line with the language")
	}
	return function{
		name:        name,
		text:        text,
		sum:         hex.EncodeToString(sum[:]),
		declaration: strings.Join(strings.Fields(declaration), " "),
	}
}

// filesOf returns the files of a folder of the schema, such as "before/uuidv7.sql", in the order of their names.
func filesOf(folder string) []string {
	entries, err := schemaFiles.ReadDir(path.Join("schema", folder))
	if err != nil {
		panic(err)
	}
	files := make([]string, 0, len(entries))
	for _, e := range entries {
		files = append(files, path.Join(folder, e.Name()))
	}
	return files
}

// readFile returns the content of a file of the schema, such as "prelude.sql". It panics when there is none.
func readFile(file string) string {
	text, err := schemaFiles.ReadFile(path.Join("schema", file))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// all returns every function of s, in the order in which they are made: those of before/ come first.
func (s schema) all() []function {
	return append(s.before[:len(s.before):len(s.before)], s.functions...)
}

// version returns the number of the newest migration.
func (s schema) version() int64 { return s.migrations[len(s.migrations)-1].version }

// Version returns the version of the schema that this package needs: the number of its newest migration.
func Version() int64 { return readSchema().version() }
