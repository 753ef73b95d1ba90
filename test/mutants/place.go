package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// source is the package that edits change, and the changes planned so far. parsed, text and changes are by path
// of a file.
type source struct {
	files   *token.FileSet
	parsed  map[string]*ast.File
	text    map[string][]byte
	changes map[string][]splice
}

// splice replaces the bytes of a file from the offset from up to, but without, the offset to by the text by.
type splice struct {
	from, to int
	by       string
}

// readSource reads and parses the Go files in a folder, without tests. It fails when there are none.
func readSource(folder string) (*source, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{files: token.NewFileSet(), parsed: map[string]*ast.File{}, text: map[string][]byte{}, changes: map[string][]splice{}}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if s.text[path], err = os.ReadFile(path); err != nil {
			return nil, err
		}
		if s.parsed[path], err = parser.ParseFile(s.files, path, s.text[path], parser.SkipObjectResolution); err != nil {
			return nil, err
		}
	}
	if len(s.parsed) == 0 {
		return nil, fmt.Errorf("no Go files in %s", folder)
	}
	return s, nil
}

// plan finds the place of the edit and adds the change to s.changes. It fails unless the function exists and, where
// the change is not begin, the fragment occurs once in it; the error says which other functions have the fragment.
func (s *source) plan(e edit) error {
	path, function := s.find(e.function)
	if function == nil {
		return fmt.Errorf("there is no function %s%s", e.function, s.elsewhere(e.fragment))
	}
	if e.change == begin {
		at := s.offset(function.Body.Lbrace) + 1
		s.changes[path] = append(s.changes[path], splice{at, at, "\n" + e.code + "\n"})
		return nil
	}
	pattern, err := parseFragment(e.fragment)
	if err != nil {
		return err
	}
	places := occurrences(function, pattern)
	if len(places) != 1 {
		return fmt.Errorf("function %s has %d times, not once: %s%s", e.function, len(places), e.fragment, s.elsewhere(e.fragment))
	}
	node, statement := places[0].node, places[0].statement
	change := splice{s.offset(node.Pos()), s.offset(node.End()), e.code}
	switch e.change {
	case drop:
		change = splice{s.offset(statement.Pos()), s.offset(statement.End()), ""}
	case before:
		change = splice{s.offset(statement.Pos()), s.offset(statement.Pos()), e.code + "\n"}
	case after:
		change = splice{s.offset(statement.End()), s.offset(statement.End()), "\n" + e.code}
	case replace, begin:
	}
	s.changes[path] = append(s.changes[path], change)
	return nil
}

// changed returns the new text of each file with planned changes, by path. It fails when two changes overlap or
// the text is no Go.
func (s *source) changed() (map[string]string, error) {
	all := map[string]string{}
	for path, changes := range s.changes {
		slices.SortStableFunc(changes, func(a, b splice) int { return a.from - b.from })
		var b strings.Builder
		at := 0
		for _, c := range changes {
			if c.from < at {
				return nil, fmt.Errorf("two edits overlap in %s", path)
			}
			b.Write(s.text[path][at:c.from])
			b.WriteString(c.by)
			at = c.to
		}
		b.Write(s.text[path][at:])
		if _, err := parser.ParseFile(token.NewFileSet(), path, b.String(), parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		all[path] = b.String()
	}
	return all, nil
}

func (s *source) offset(p token.Pos) int { return s.files.Position(p).Offset }

// find returns the function of that name, which is in the form of edit.function, and the path of its file; "" and
// nil when there is none.
func (s *source) find(name string) (string, *ast.FuncDecl) {
	for path, file := range s.parsed {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && nameOf(f) == name {
				return path, f
			}
		}
	}
	return "", nil
}

// elsewhere returns a text for errors with the functions that have the fragment, or that says that none has; ""
// when the fragment is no Go.
func (s *source) elsewhere(fragment string) string {
	pattern, err := parseFragment(fragment)
	if err != nil {
		return ""
	}
	var names []string
	for _, file := range s.parsed {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && len(occurrences(f, pattern)) > 0 {
				names = append(names, nameOf(f))
			}
		}
	}
	if len(names) == 0 {
		return "; no other function has it"
	}
	slices.Sort(names)
	return "; these have it: " + strings.Join(names, ", ")
}

// nameOf returns the name of a function as edit.function has it: "Function" or "receiver.Method", without
// pointer and type parameters.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// parseFragment parses an expression or else a statement. It fails for a text that is neither, and for several
// statements.
func parseFragment(text string) (ast.Node, error) {
	if expr, err := parser.ParseExpr(text); err == nil {
		return expr, nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), "fragment", "package p\nfunc f() {\n"+text+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("the fragment is no Go: %s: %w", text, err)
	}
	if f, ok := file.Decls[0].(*ast.FuncDecl); ok && len(f.Body.List) == 1 {
		return f.Body.List[0], nil
	}
	return nil, fmt.Errorf("the fragment is not one statement: %s", text)
}

// place is a node that matches a pattern, and the innermost statement in a list of statements that has the node
// in it.
type place struct {
	node      ast.Node
	statement ast.Stmt
}

// occurrences returns the places in the body of a function that match the pattern, in the order of the source.
func occurrences(function *ast.FuncDecl, pattern ast.Node) []place {
	var places []place
	var statements []ast.Stmt // of the nodes from the function down to the current one
	listed := map[ast.Node]bool{}
	ast.Inspect(function.Body, func(n ast.Node) bool {
		if n == nil {
			statements = statements[:len(statements)-1]
			return true
		}
		var list []ast.Stmt
		switch b := n.(type) {
		case *ast.BlockStmt:
			list = b.List
		case *ast.CaseClause:
			list = b.Body
		case *ast.CommClause:
			list = b.Body
		}
		for _, one := range list {
			listed[one] = true
		}
		var current ast.Stmt
		if len(statements) > 0 {
			current = statements[len(statements)-1]
		}
		if one, ok := n.(ast.Stmt); ok && listed[n] {
			current = one
		}
		statements = append(statements, current)
		if same(reflect.ValueOf(pattern), reflect.ValueOf(n)) {
			places = append(places, place{n, current})
		}
		return true
	})
	return places
}

// same reports whether node has the syntax of pattern, whatever its position in the file and, of a call, whether its
// last argument has dots or not. In pattern, _ matches any expression, and an if statement with an empty body any if
// statement with that condition.
func same(pattern, node reflect.Value) bool {
	if pattern.Kind() == reflect.Interface {
		pattern = pattern.Elem()
	}
	if node.Kind() == reflect.Interface {
		node = node.Elem()
	}
	if !pattern.IsValid() || !node.IsValid() {
		return pattern.IsValid() == node.IsValid()
	}
	if p, ok := pattern.Interface().(*ast.Ident); ok && p != nil && p.Name == "_" {
		_, isExpr := node.Interface().(ast.Expr)
		return isExpr
	}
	if pattern.Type() != node.Type() {
		return false
	}
	if pattern.Kind() == reflect.Pointer {
		if pattern.IsNil() || node.IsNil() {
			return pattern.IsNil() == node.IsNil()
		}
		if p, ok := pattern.Interface().(*ast.IfStmt); ok && len(p.Body.List) == 0 {
			return same(reflect.ValueOf(p.Cond), node.Elem().FieldByName("Cond"))
		}
		return same(pattern.Elem(), node.Elem())
	}
	if pattern.Kind() == reflect.Struct {
		for i := range pattern.NumField() {
			if pattern.Type().Field(i).Type != reflect.TypeFor[token.Pos]() && !same(pattern.Field(i), node.Field(i)) {
				return false
			}
		}
		return true
	}
	if pattern.Kind() == reflect.Slice {
		if pattern.Len() != node.Len() {
			return false
		}
		for i := range pattern.Len() {
			if !same(pattern.Index(i), node.Index(i)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(pattern.Interface(), node.Interface())
}
