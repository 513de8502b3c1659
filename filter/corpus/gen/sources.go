package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// names are parts of speech of jieba that stand for persons, organisations and
// brands: nothing that a corpus for everybody should say things about.
var names = map[string]bool{"nr": true, "nrt": true, "nrfg": true, "nt": true, "nz": true}

// A character of its own with the tag zg has a made-up count: it is left out
// unless it is frequent all the same.
const frequentCharacter = 5000

func readChinese(path string, leaveOut rules) ([]entry, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var words []entry
	sum := 0.0
	for line := range strings.Lines(string(source)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%s: %q has not three fields", path, line)
		}
		count, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		sum += count
		if f[2] == "zg" && count < frequentCharacter {
			continue
		}
		if names[f[2]] || !isHan(f[0]) || utf8.RuneCountInString(f[0]) > 6 || leaveOut.leaveOut(f[0]) {
			continue
		}
		words = append(words, entry{f[0], count})
	}
	for i := range words {
		words[i].count = rounded(words[i].count / sum * 1e6)
	}
	return sorted(words), nil
}

func isHan(s string) bool {
	for _, r := range s {
		if r < 0x4e00 || r > 0x9fff {
			return false
		}
	}
	return s != ""
}

// bands are SCOWL's sizes, and the count in a million that a word of the band
// has at least: the books counted are old and few.
var bands = []struct {
	size  string
	count float64
}{{"10", 60}, {"20", 15}, {"35", 2}, {"40", 1}, {"50", 0.5}, {"55", 0.3}, {"60", 0.2}, {"70", 0.05}}

var kinds = []string{"english-words", "american-words", "english-contractions"}

func readEnglish(folder, books string, leaveOut rules) ([]entry, error) {
	counts, err := countWords(books)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var words []entry
	for _, b := range bands {
		for _, kind := range kinds {
			source, err := os.ReadFile(filepath.Join(folder, kind+"."+b.size))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(source)) {
				w := strings.TrimSpace(line)
				possessive := strings.HasSuffix(w, "'s") && kind != "english-contractions"
				if !isLatin(w) || possessive || seen[w] || leaveOut.leaveOut(strings.ToLower(w)) {
					continue
				}
				seen[w] = true
				words = append(words, entry{w, rounded(b.count + counts[strings.ToLower(w)])})
			}
		}
	}
	return sorted(words), nil
}

func isLatin(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && r != '\'' {
			return false
		}
	}
	return s != ""
}

// countWords counts words in a million over the files of a folder.
func countWords(folder string) (map[string]float64, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no .txt file", folder)
	}
	counts := map[string]float64{}
	sum := 0.0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text := strings.ToLower(strings.ReplaceAll(string(source), "’", "'"))
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
			counts[strings.Trim(word, "'")]++
			sum++
		}
	}
	for w := range counts {
		counts[w] *= 1e6 / sum
	}
	return counts, nil
}
