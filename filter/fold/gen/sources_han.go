package main

import (
	"fmt"
	"strings"
)

// firstChoice takes the first of several counterparts, OpenCC's default.
func firstChoice(_ rune, to []string) (string, bool) { return to[0], true }

// onlyChoice takes a counterpart if there is one beside the character itself.
func onlyChoice(from rune, to []string) (string, bool) {
	var other []string
	for _, t := range to {
		if t != string(from) {
			other = append(other, t)
		}
	}
	if len(other) != 1 || len(other) != len(to) {
		return "", false
	}
	return other[0], true
}

// openCC parses a dictionary of OpenCC: a character, a tab, its counterparts.
func (s *sources) openCC(into map[rune]rune, choose func(rune, []string) (string, bool)) func(string) error {
	return func(line string) error {
		key, value, found := strings.Cut(line, "\t")
		from, to := []rune(key), strings.Fields(value)
		if !found || len(from) != 1 || len(to) == 0 {
			return fmt.Errorf("%q is no pair of characters", line)
		}
		chosen, ok := choose(from[0], to)
		if c := []rune(chosen); ok && len(c) == 1 && c[0] != from[0] {
			into[from[0]] = c[0]
		}
		return nil
	}
}

// unihan takes a line of the Unihan database apart.
func unihan(line string) (r rune, property, value string, err error) {
	f := strings.Split(line, "\t")
	if len(f) != 3 {
		return 0, "", "", fmt.Errorf("%d columns", len(f))
	}
	r, err = hex(strings.TrimPrefix(f[0], "U+"))
	return r, f[1], f[2], err
}

// variants takes kZVariant: the same character, drawn differently.
func (s *sources) variants(line string) error {
	r, property, value, err := unihan(line)
	if err != nil || property != "kZVariant" {
		return err
	}
	for _, v := range strings.Fields(value) {
		v, _, _ = strings.Cut(v, "<") // the source that says so
		to, err := hex(strings.TrimPrefix(v, "U+"))
		if err != nil {
			return err
		}
		s.zVariant[r] = append(s.zVariant[r], to)
	}
	return nil
}

// readings takes the most customary reading, and which characters are in use in
// mainland China.
func (s *sources) readings(line string) error {
	r, property, value, err := unihan(line)
	if err != nil {
		return err
	}
	switch property {
	case "kMandarin":
		s.mandarin[r] = strings.Fields(value)[0]
	case "kTGHZ2013":
		s.modern[r] = true
	}
	return nil
}
