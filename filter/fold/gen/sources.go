package main

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sources is the data as it was read, before any rule.
type sources struct {
	chars      map[rune]*char
	script     map[rune]string
	ignorable  map[rune]bool // Default_Ignorable_Code_Point
	lower      map[rune]rune // simple case folding
	upper      map[rune][]rune
	confusable map[rune]rune // to a prototype of one rune
	simplified map[rune]rune // traditional → simplified
	shinjitai  map[rune]rune // Japanese simplified → traditional
	zVariant   map[rune][]rune
	mandarin   map[rune]string
	modern     map[rune]bool // in China's table of general characters (2013)
}

// char is a line of UnicodeData.txt.
type char struct {
	name    string
	gc      string // general category
	compat  bool   // the decomposition is a compatibility one
	decomp  []rune
	digit   int // its value as a digit, -1 if it is none
	numeric string
}

func readSources(dir string) (*sources, error) {
	s := &sources{
		chars: map[rune]*char{}, script: map[rune]string{}, ignorable: map[rune]bool{},
		lower: map[rune]rune{}, upper: map[rune][]rune{}, confusable: map[rune]rune{},
		simplified: map[rune]rune{}, shinjitai: map[rune]rune{}, zVariant: map[rune][]rune{},
		mandarin: map[rune]string{}, modern: map[rune]bool{},
	}
	for _, f := range []struct {
		name string
		line func(string) error
	}{
		{"UnicodeData.txt.bz2", s.unicodeData()},
		{"Scripts.txt.bz2", s.ranges(func(r rune, v string) { s.script[r] = v })},
		{"DefaultIgnorable.txt", s.ranges(func(r rune, _ string) { s.ignorable[r] = true })},
		{"CaseFolding.txt.bz2", s.caseFolding},
		{"confusables.txt.bz2", s.confusables},
		{"TSCharacters.txt", s.openCC(s.simplified, firstChoice)},
		{"JPShinjitaiCharacters.txt", s.openCC(s.shinjitai, onlyChoice)},
		{"Unihan_Variants.txt.bz2", s.variants},
		{"Unihan_Readings.txt.bz2", s.readings},
	} {
		if err := eachLine(filepath.Join(dir, f.name), f.line); err != nil {
			return nil, err
		}
	}
	for l := range s.upper {
		slices.Sort(s.upper[l])
	}
	return s, nil
}

// eachLine gives the lines of a file, without comments and empty ones.
func eachLine(path string, line func(string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the sources: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".bz2") {
		r = bzip2.NewReader(f)
	}
	sc := bufio.NewScanner(r)
	n := 0
	for ; sc.Scan(); n++ {
		text := strings.TrimPrefix(sc.Text(), "\ufeff")
		text, _, _ = strings.Cut(text, "#")
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := line(text); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
	}
	if sc.Err() != nil {
		return fmt.Errorf("read %s: %w", path, sc.Err())
	}
	return nil
}

func fields(line string) []string {
	f := strings.Split(line, ";")
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	return f
}

func hex(s string) (rune, error) {
	v, err := strconv.ParseUint(s, 16, 21)
	return rune(v), err
}

func hexes(s string) ([]rune, error) {
	var all []rune
	for _, f := range strings.Fields(s) {
		r, err := hex(f)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// unicodeData parses UnicodeData.txt. Large blocks are written as a first and a
// last character.
func (s *sources) unicodeData() func(string) error {
	var first rune
	return func(line string) error {
		f := fields(line)
		if len(f) < 14 {
			return fmt.Errorf("%d fields", len(f))
		}
		r, err := hex(f[0])
		if err != nil {
			return err
		}
		c := &char{name: f[1], gc: f[2], digit: -1, numeric: f[8]}
		d, compat := f[5], false
		if strings.HasPrefix(d, "<") {
			_, d, _ = strings.Cut(d, ">")
			compat = true
		}
		if c.decomp, err = hexes(d); err != nil {
			return err
		}
		c.compat = compat
		if f[7] != "" {
			if c.digit, err = strconv.Atoi(f[7]); err != nil {
				return err
			}
		}
		s.chars[r] = c
		if strings.HasSuffix(f[1], ", First>") {
			first = r
		} else if strings.HasSuffix(f[1], ", Last>") {
			for x := first; x < r; x++ {
				s.chars[x] = c
			}
		}
		return nil
	}
}

// ranges parses files of the form "0041..005A ; value".
func (s *sources) ranges(set func(rune, string)) func(string) error {
	return func(line string) error {
		f := fields(line)
		if len(f) < 2 {
			return fmt.Errorf("%q is no range", line)
		}
		lo, hi, found := strings.Cut(f[0], "..")
		if !found {
			hi = lo
		}
		from, err := hex(lo)
		if err != nil {
			return err
		}
		to, err := hex(hi)
		if err != nil {
			return err
		}
		for r := from; r <= to; r++ {
			set(r, f[1])
		}
		return nil
	}
}

// caseFolding takes the foldings of one rune to one (C and S).
func (s *sources) caseFolding(line string) error {
	f := fields(line)
	if len(f) < 3 || f[1] != "C" && f[1] != "S" {
		return nil
	}
	from, err := hex(f[0])
	if err != nil {
		return err
	}
	to, err := hex(f[2])
	if err != nil {
		return err
	}
	s.lower[from] = to
	s.upper[to] = append(s.upper[to], from)
	return nil
}

func (s *sources) confusables(line string) error {
	f := fields(line)
	if len(f) < 2 {
		return fmt.Errorf("%q names no prototype", line)
	}
	from, err := hexes(f[0])
	if err != nil {
		return err
	}
	to, err := hexes(f[1])
	if err != nil {
		return err
	}
	if len(from) == 1 && len(to) == 1 {
		s.confusable[from[0]] = to[0]
	}
	return nil
}
