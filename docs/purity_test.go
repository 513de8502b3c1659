package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// impureImports are packages that do I/O or bring time and randomness of their
// own. An entry that ends in / stands for all below it.
var impureImports = []string{
	"os", "os/", "net", "net/", "syscall", "io/ioutil", "log", "math/rand", "crypto/rand",
	"golang.org/x/sys/", "google.golang.org/grpc", "github.com/hashicorp/", "github.com/cockroachdb/",
}

// impureTime are the functions of package time that look at the clock.
var impureTime = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTimer": true, "NewTicker": true,
}

// seededRand is what a pure package may use of math/rand/v2: generators that are
// given their seed. Its functions have one of their own.
var seededRand = map[string]bool{"New": true, "NewPCG": true, "NewChaCha8": true, "Rand": true, "Source": true, "PCG": true, "ChaCha8": true}

func TestPurePackagesDoNoIO(t *testing.T) {
	all := parts(t)
	looked := 0
	for _, p := range listPackages(t) {
		row, ok := partOf(all, p.folder())
		if !ok || !row.pure || p.folder() != row.folder {
			continue // folders below hold its test tools
		}
		for _, name := range p.GoFiles {
			looked++
			checkPure(t, filepath.Join(p.Dir, name), p.folder()+"/"+name)
		}
	}
	if looked == 0 {
		t.Fatal("no pure package was found; does the table still say Pure?")
	}
}

func checkPure(t *testing.T, path, name string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range impurities(file) {
		t.Errorf("%s is in a pure package and %s", name, problem)
	}
}

// impurities lists what a pure file should not have.
func impurities(file *ast.File) (problems []string) {
	clock, dice := "", "" // the names that packages time and math/rand/v2 have in this file
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has checked
		}
		for _, bad := range impureImports {
			if path == "net/url" || path == "net/netip" { // they only read text
				continue
			}
			if path == bad || strings.HasSuffix(bad, "/") && strings.HasPrefix(path, bad) {
				problems = append(problems, "imports "+path)
			}
		}
		if path == "time" {
			clock = "time"
			if spec.Name != nil {
				clock = spec.Name.Name
			}
		}
		if path == "math/rand/v2" {
			dice = "rand"
			if spec.Name != nil {
				dice = spec.Name.Name
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && clock != "" && x.Name == clock && impureTime[s.Sel.Name] {
				problems = append(problems, "uses time."+s.Sel.Name)
			}
			if x, ok := s.X.(*ast.Ident); ok && dice != "" && x.Name == dice && !seededRand[s.Sel.Name] {
				problems = append(problems, "uses rand."+s.Sel.Name)
			}
		}
		if _, ok := n.(*ast.GoStmt); ok {
			problems = append(problems, "starts a goroutine")
		}
		return true
	})
	return problems
}

func TestImpuritiesAreSeen(t *testing.T) {
	for source, want := range map[string]string{
		`import "os"`:        "imports os",
		`import "net/http"`:  "imports net/http",
		`import "math/rand"`: "imports math/rand",
		`import r "math/rand/v2"; var x = r.N(5)`:                    "uses rand.N",
		`import "math/rand/v2"; var x = rand.New(rand.NewPCG(1, 2))`: "",
		`import "time"; var x = time.Now()`:                          "uses time.Now",
		`import c "time"; var x = c.Since`:                           "uses time.Since",
		`func f() { go f() }`:                                        "starts a goroutine",
		`import "time"; var x = 3 * time.Second`:                     "",
		`import "time"; func f(now time.Time) {}`:                    "",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x; "+source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(impurities(file), ", "); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}
