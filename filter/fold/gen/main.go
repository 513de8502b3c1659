// Command gen writes the tables of package fold from the data in its folder
// data, which data/README.md names with versions and licences. It needs no
// network, and the same data gives the same bytes.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	data := flag.String("data", "gen/data", "folder of the sources")
	out := flag.String("out", ".", "folder that gets tables.bin, syllables.bin and tables.go")
	flag.Parse()
	if err := run(*data, *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(data, out string, stdout io.Writer) error {
	files, report, err := generate(data)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(out, f.name), f.content, 0o644); err != nil {
			return fmt.Errorf("write a table: %w", err)
		}
	}
	_, err = io.WriteString(stdout, report)
	return err
}

// file is one generated file.
type file struct {
	name    string
	content []byte
}

// generate makes the files in memory, and a report of what folds by which rule.
func generate(data string) ([]file, string, error) {
	src, err := readSources(data)
	if err != nil {
		return nil, "", err
	}
	b := newBuilder(src)
	if err := b.foldAll(); err != nil {
		return nil, "", err
	}
	bin, err := b.encode()
	if err != nil {
		return nil, "", err
	}
	files := []file{{"tables.bin", bin}, {"syllables.bin", b.encodeSyllables()}, {"tables.go", b.constants()}}
	return files, b.report(len(bin)), nil
}
