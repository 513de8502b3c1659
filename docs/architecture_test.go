// Package docs_test holds the code to the tables of architecture.md.
package docs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/barrage-im/barrage"

// pkg is what go list says about a package.
type pkg struct {
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// folder is the package's place in the repository; "" is main.go.
func (p pkg) folder() string { return folderOf(p.ImportPath) }

func folderOf(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal("go list:", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list names %d packages; the test looks at the wrong folder", len(all))
	}
	return all
}

// part is one row of the import table.
type part struct {
	folder  string
	subtree bool // written folder/…
	may     []rule
	pure    bool
}

// rule allows one folder, or with subtree all below it too. Folder "*" is all.
type rule struct {
	folder  string
	subtree bool
}

func (r rule) allows(folder string) bool {
	return r.folder == "*" || folder == r.folder || r.subtree && strings.HasPrefix(folder, r.folder+"/")
}

var span = regexp.MustCompile("`([^`]+)`")

// table returns the cells of the Markdown table whose header begins so.
func table(t *testing.T, page, header string) [][]string {
	t.Helper()
	_, after, found := strings.Cut(page, "\n| "+header)
	if !found {
		t.Fatalf("architecture.md has no table that begins with %q", header)
	}
	var rows [][]string
	for i, line := range strings.Split(after, "\n") {
		if i < 2 { // rest of the header, and the rule below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatalf("the table %q of architecture.md is empty", header)
	}
	return rows
}

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// parts parses the import table. Its last column names folders, with /… for all
// below, or packages of the table by their short names.
func parts(t *testing.T) []part {
	t.Helper()
	rows := table(t, readPage(t), "folder | package |")
	short := map[string]string{} // package name → folder
	for _, cells := range rows {
		if name := span.FindStringSubmatch(cells[1]); name != nil {
			short[name[1]] = strings.Trim(cells[0], "`")
		}
	}
	var all []part
	for _, cells := range rows {
		if len(cells) != 4 {
			t.Fatalf("a row of the import table has %d cells: %v", len(cells), cells)
		}
		folder, subtree := strings.CutSuffix(strings.Trim(cells[0], "`"), "/…")
		p := part{folder: folder, subtree: subtree, pure: strings.Contains(cells[2], "Pure")}
		for _, m := range span.FindAllStringSubmatch(cells[3], -1) {
			target, below := strings.CutSuffix(m[1], "/…")
			if full, ok := short[target]; ok && !below {
				target = full
			}
			p.may = append(p.may, rule{target, below})
		}
		switch {
		case strings.Contains(cells[3], "each other"):
			p.may = append(p.may, rule{folder, true})
		case cells[3] == "all":
			p.may = append(p.may, rule{"*", true})
		case len(p.may) == 0 && cells[3] != "–":
			t.Fatalf("the import table says %q for %s; write `folder`, `folder/…`, all, or –", cells[3], folder)
		}
		all = append(all, p)
	}
	return all
}

// partOf is the row that a folder belongs to: its own, or the one it is below.
// A folder directly below a process has a row of its own.
func partOf(all []part, folder string) (part, bool) {
	best, found := part{}, false
	for _, p := range all {
		fits := folder == p.folder && !p.subtree ||
			strings.HasPrefix(folder, p.folder+"/") && (p.subtree || strings.Contains(p.folder, "/"))
		if fits && (!found || len(p.folder) > len(best.folder)) {
			best, found = p, true
		}
	}
	return best, found
}

func TestImportsFollowTheTable(t *testing.T) {
	all := parts(t)
	for _, p := range listPackages(t) {
		folder := p.folder()
		if folder == "" || folder == "docs" {
			continue // main.go knows all; docs has no code but tests
		}
		row, ok := partOf(all, folder)
		if !ok {
			t.Errorf("%s is in no row of architecture.md's import table", folder)
			continue
		}
		for _, path := range p.Imports {
			if to := folderOf(path); ours(path) && !row.allows(to) {
				t.Errorf("%s imports %s; its row in architecture.md does not allow that", folder, to)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			to := folderOf(path)
			if ours(path) && !row.allows(to) && top(to) != top(folder) && top(to) != "protocol" {
				t.Errorf("a test of %s imports %s, another process", folder, to)
			}
		}
	}
}

func (p part) allows(folder string) bool {
	if strings.Contains(p.folder, "/") && (folder == p.folder || strings.HasPrefix(folder, p.folder+"/")) {
		return true // its own subfolders
	}
	return slices.ContainsFunc(p.may, func(r rule) bool { return r.allows(folder) })
}

func top(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	return first
}

func TestHeavyDependenciesHaveOneDoor(t *testing.T) {
	packages := listPackages(t)
	for _, cells := range table(t, readPage(t), "dependency | door |") {
		dependency := strings.Trim(cells[0], "`")
		var doors []rule
		for _, m := range span.FindAllStringSubmatch(cells[1], -1) {
			doors = append(doors, rule{m[1], true})
		}
		if len(doors) == 0 {
			t.Errorf("%s has no door", dependency)
		}
		for _, p := range packages {
			isDoor := slices.ContainsFunc(doors, func(d rule) bool { return d.allows(p.folder()) })
			for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if !isDoor && (path == dependency || strings.HasPrefix(path, dependency+"/")) {
					t.Errorf("%s imports %s; its door is %s", p.folder(), path, cells[1])
				}
			}
		}
	}
}
