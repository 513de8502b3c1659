// Command gen makes the vocabulary of package corpus from public word lists
// with frequencies. README.md of the package names the sources and the call.
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sizes of the vocabulary: common words make messages, rare ones are what
// sensitive words are spliced of.
const (
	chineseCommon = 30_000
	chineseRare   = 25_000
	englishCommon = 12_000
	englishRare   = 8_000

	minRare = 2 // characters of a rare word
)

type entry struct {
	word  string
	count float64 // in a million
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	chinese := flag.String("chinese", "", "jieba.dict.utf8: word, count and part of speech on each line")
	scowl := flag.String("scowl", "", "folder of SCOWL's lists, such as english-words.10")
	books := flag.String("books", "", "folder of plain English texts that SCOWL's words are counted in")
	exclude := flag.String("exclude", "exclude.txt", "rules of what to leave out")
	out := flag.String("out", "../data", "folder to write to")
	flag.Parse()
	if *chinese == "" || *scowl == "" || *books == "" {
		return errors.New("-chinese, -scowl and -books are needed")
	}

	leaveOut, err := readRules(*exclude)
	if err != nil {
		return err
	}
	zh, err := readChinese(*chinese, leaveOut)
	if err != nil {
		return err
	}
	en, err := readEnglish(*scowl, *books, leaveOut)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name         string
		words        []entry
		common, rare int
	}{
		{"chinese", zh, chineseCommon, chineseRare},
		{"english", en, englishCommon, englishRare},
	} {
		if len(f.words) < f.common+f.rare {
			return fmt.Errorf("%s: %d words, need %d", f.name, len(f.words), f.common+f.rare)
		}
		common := f.words[:f.common]
		rare := slices.DeleteFunc(f.words[f.common:], func(e entry) bool { return utf8.RuneCountInString(e.word) < minRare })
		if err := write(filepath.Join(*out, f.name+".txt.gz"), common, rare[:min(f.rare, len(rare))]); err != nil {
			return err
		}
	}
	return nil
}

// write stores common and rare words: lines of a count a million and the words
// that have it, the most frequent first, then a line "rare" and such lines
// again. Counts are rounded to two digits so that many words share a line.
func write(path string, common, rare []entry) error {
	var text bytes.Buffer
	lines := func(words []entry) {
		level := ""
		for _, e := range words {
			if l := strconv.FormatFloat(e.count, 'g', 2, 64); l != level {
				if level != "" {
					text.WriteByte('\n')
				}
				level = l
				text.WriteString(l)
			}
			text.WriteString(" " + e.word)
		}
		text.WriteByte('\n')
	}
	lines(common)
	text.WriteString("rare\n")
	lines(rare)

	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(text.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d bytes of text, %d packed\n", path, text.Len(), packed.Len())
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

// rounded gives count two significant digits, so that words of about the same
// frequency stand in the order of their spelling, which packs better.
func rounded(count float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(count, 'g', 2, 64), 64)
	if err != nil {
		panic(err) // of a number that was just formatted
	}
	return f
}

func sorted(words []entry) []entry {
	slices.SortFunc(words, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.word, b.word))
	})
	return words
}

// rules say what to leave out.
type rules struct {
	exact  map[string]bool
	parts  []string // anywhere
	starts []string
	ends   []string
}

func readRules(path string) (rules, error) {
	r := rules{exact: map[string]bool{}}
	source, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(string(source)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word := strings.Trim(line, "*")
		switch open, closed := strings.HasPrefix(line, "*"), strings.HasSuffix(line, "*"); {
		case open && closed:
			r.parts = append(r.parts, word)
		case open:
			r.ends = append(r.ends, word)
		case closed:
			r.starts = append(r.starts, word)
		default:
			r.exact[word] = true
		}
	}
	return r, nil
}

func (r rules) leaveOut(word string) bool {
	in := func(parts []string, has func(s, part string) bool) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return has(word, p) })
	}
	return r.exact[word] || in(r.parts, strings.Contains) || in(r.starts, strings.HasPrefix) || in(r.ends, strings.HasSuffix)
}
