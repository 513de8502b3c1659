package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName  = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)(?:/([^`]+))?`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)\(`)
	caseRange = regexp.MustCompile(`B(\d+)(?:–B(\d+))?`)
)

// TestSecurityTableNamesRealTests holds docs/security.md to the tree: every
// test that it names is there, subtests by their name's text, and every row of
// its table names at least one.
func TestSecurityTableNamesRealTests(t *testing.T) {
	source := map[string]string{} // top-level test → text of the package that it is in
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, f := range testFunc.FindAllStringSubmatch(string(text), -1) {
			source[f[1]] += string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		named := testName.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| B") {
			if rows++; len(named) == 0 {
				t.Errorf("no test shows %s", caseRange.FindString(line))
			}
		}
		for _, n := range named {
			text, ok := source[n[1]]
			switch {
			case !ok:
				t.Errorf("%s is named and does not exist", n[1])
			case n[2] != "" && !strings.Contains(text, `"`+n[2]+`"`):
				t.Errorf("%s has no subtest %q", n[1], n[2])
			}
		}
	}
	if rows < 50 {
		t.Errorf("%d rows were read; the table has more", rows)
	}
}
