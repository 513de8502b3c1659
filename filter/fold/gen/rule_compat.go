package main

import (
	"regexp"
	"strings"
)

// digit: every script's digits, and those in circles, brackets, with a full
// stop, raised or lowered, are the ASCII ones.
func (b *builder) digit(r rune) (rune, bool) {
	c := b.chars[r]
	if c == nil || r < 0x80 {
		return 0, false
	}
	switch {
	case c.digit >= 0:
		return '0' + rune(c.digit), true
	case c.gc == "No" && strings.HasSuffix(c.name, "CIRCLED SANS-SERIF DIGIT ZERO"):
		return '0', true // has a value as a number only
	default:
		return 0, false
	}
}

// decomposed: what is left of the full decomposition when marks, punctuation
// and spaces are taken away, if that is one rune. So é is e, Ａ is A, ⑴ is 1, ㈠
// is 一. Kana keep their voicing marks: が is not か.
func (b *builder) decomposed(r rune) (rune, bool) {
	c := b.chars[r]
	if c == nil || len(c.decomp) == 0 {
		return 0, false
	}
	var rest []rune
	for _, d := range b.decompose(nil, r) {
		if b.skippedMark(d) || b.bracket(d) && len(c.decomp) > 1 {
			continue
		}
		rest = append(rest, d)
	}
	rest = composeHangul(rest)
	if len(rest) > 1 || len(rest) == 1 && !c.compat && kana(rest[0]) {
		return 0, false
	}
	if len(rest) == 0 || !b.wordRune(rest[0]) {
		return 0, true // an accent or a symbol; leetSymbol looks at it
	}
	if r <= 0xFFFF && rest[0] > 0xFFFF {
		return 0, false // old forms of characters that only old books have
	}
	return rest[0], true
}

func (b *builder) decompose(dst []rune, r rune) []rune {
	c := b.chars[r]
	if c == nil || len(c.decomp) == 0 || !c.compat && kana(c.decomp[0]) {
		return append(dst, r)
	}
	for _, d := range c.decomp {
		dst = b.decompose(dst, d)
	}
	return dst
}

// composeHangul makes a syllable of its letters: ㉮ decomposes to two.
func composeHangul(r []rune) []rune {
	const leads, vowels, first = 0x1100, 0x1161, 0xAC00
	if len(r) == 2 && r[0] >= leads && r[0] < leads+19 && r[1] >= vowels && r[1] < vowels+21 {
		return []rune{first + ((r[0]-leads)*21+r[1]-vowels)*28}
	}
	return r
}

// bracket: punctuation and spaces in a decomposition are what is around a letter.
func (b *builder) bracket(r rune) bool {
	c := b.chars[r]
	return c != nil && strings.ContainsRune("PZ", rune(c.gc[0]))
}

func kana(r rune) bool { return r >= 0x3041 && r <= 0x30FF }

var byName = regexp.MustCompile(
	`\bLATIN (CAPITAL |SMALL )?LETTER (SMALL CAPITAL |DOTLESS |INSULAR |SCRIPT )?([A-Z])( WITH .+)?$`)

// named: a Latin letter with a stroke, hook or tail, a small capital, a letter in
// a filled circle or square have no decomposition, but their names say it.
// Regional indicators, which make flags, are not called Latin.
func (b *builder) named(r rune) (rune, bool) {
	c := b.chars[r]
	if c == nil || r < 0x80 || !b.letter(r) && c.gc != "So" {
		return 0, false
	}
	m := byName.FindStringSubmatch(c.name)
	if m == nil || strings.Contains(m[4], "LETTER") {
		return 0, false // or two letters in one, such as ǅ
	}
	to := rune(m[3][0])
	if m[1] == "SMALL " && m[2] != "SMALL CAPITAL " {
		to += 'a' - 'A'
	}
	return to, true
}

// lowered: simple case folding.
func (b *builder) lowered(r rune) (rune, bool) {
	l, ok := b.lower[r]
	return l, ok
}

// hiragana for katakana.
func hiragana(r rune) (rune, bool) {
	if r >= 0x30A1 && r <= 0x30F6 || r == 0x30FD || r == 0x30FE {
		return r - 0x60, true
	}
	return 0, false
}
