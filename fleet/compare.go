package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/barrage-im/barrage/fleet/render"
)

// A comparison is of rendered files with those in a directory. Paths are those of
// the repository, in order.
type comparison struct {
	dir                   string
	made                  render.Files
	had                   render.Files
	added, changed, stale []string
}

// compare reads what is below clusters in a directory.
func compare(dir string, made render.Files) (*comparison, error) {
	c := &comparison{dir: dir, made: made, had: render.Files{}}
	root := filepath.Join(dir, "clusters")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == root {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file; remove it", rel)
		}
		c.had[rel], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	for name, b := range made {
		old, there := c.had[name]
		switch {
		case !there:
			c.added = append(c.added, name)
		case !bytes.Equal(old, b):
			c.changed = append(c.changed, name)
		}
	}
	for name := range c.had {
		if _, is := made[name]; !is {
			c.stale = append(c.stale, name)
		}
	}
	slices.Sort(c.added)
	slices.Sort(c.changed)
	slices.Sort(c.stale)
	return c, nil
}

// write makes the directory what was rendered. A file is there in whole or as it
// was.
func (c *comparison) write() error {
	for _, name := range slices.Concat(c.added, c.changed) {
		at := filepath.Join(c.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		part := at + ".part"
		if err := os.WriteFile(part, c.made[name], 0o644); err != nil {
			return err
		}
		if err := os.Rename(part, at); err != nil {
			return err
		}
	}
	for _, name := range c.stale {
		if err := os.Remove(filepath.Join(c.dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return nil
}

// maxDiff bounds what is shown of one file, in lines: Flux's components are long.
const maxDiff = 200

// show prints a unified diff.
func (c *comparison) show(w io.Writer) error {
	all := slices.Concat(c.added, c.changed, c.stale)
	slices.Sort(all)
	for _, name := range all {
		from, to := "a/"+name, "b/"+name
		if c.had[name] == nil {
			from = "/dev/null"
		}
		if c.made[name] == nil {
			to = "/dev/null"
		}
		lines := strings.SplitAfter(udiff.Unified(from, to, string(c.had[name]), string(c.made[name])), "\n")
		if len(lines) > maxDiff {
			lines = append(lines[:maxDiff:maxDiff], fmt.Sprintf("… %d more lines of %s\n", len(lines)-maxDiff, name))
		}
		for _, l := range lines {
			if _, err := io.WriteString(w, l); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d files new, %d changed, %d not rendered any more\n", len(c.added), len(c.changed), len(c.stale))
	return err
}
