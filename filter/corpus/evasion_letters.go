package corpus

import (
	"strings"
	"unicode"
)

// style is where another alphabet begins: its A, a and 0; 0 where it has none.
type style struct{ upper, lower, zero rune }

// mathematical alphabets without holes.
var mathematical = []style{
	{0x1d400, 0x1d41a, 0x1d7ce}, // bold
	{0x1d468, 0x1d482, 0},       // bold italic
	{0x1d4d0, 0x1d4ea, 0},       // bold script
	{0x1d56c, 0x1d586, 0},       // bold fraktur
	{0x1d5a0, 0x1d5ba, 0x1d7e2}, // sans-serif
	{0x1d5d4, 0x1d5ee, 0x1d7ec}, // sans-serif bold
	{0x1d670, 0x1d68a, 0x1d7f6}, // monospace
}

// styled writes a whole word in one of the alphabets.
func styled(styles []style) func(string, uint64) (string, bool) {
	return func(word string, seed uint64) (string, bool) {
		s := pick(seeded(seed, word), styles)
		return mapped(word, func(c rune) rune {
			switch {
			case c >= 'A' && c <= 'Z':
				return s.upper + c - 'A'
			case c >= 'a' && c <= 'z':
				return s.lower + c - 'a'
			case c >= '0' && c <= '9' && s.zero != 0:
				return s.zero + c - '0'
			}
			return c
		})
	}
}

func mapped(word string, to func(rune) rune) (string, bool) {
	w := strings.Map(to, word)
	return w, w != word
}

// circled has letters in circles, parentheses and squares.
func circled(word string, seed uint64) (string, bool) {
	s := pick(seeded(seed, word), []style{
		{'Ⓐ', 'ⓐ', '①'},
		{'⒜', '⒜', '⑴'},
		{0x1f130, 0x1f130, '①'}, // squared
		{0x1f150, 0x1f150, '❶'}, // white on black
		{0x1f170, 0x1f170, '❶'}, // white on black, squared
	})
	return mapped(word, func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return s.upper + c - 'A'
		case c >= 'a' && c <= 'z':
			return s.lower + c - 'a'
		case c == '0':
			return '⓪'
		case c >= '1' && c <= '9':
			return s.zero + c - '1'
		}
		return c
	})
}

func mixCase(word string, seed uint64) (string, bool) {
	r := seeded(seed, word)
	if w := strings.ToUpper(word); r.chance(0.3) && w != word {
		return w, true
	}
	changed := false
	w, _ := mapped(word, func(c rune) rune {
		other := unicode.ToUpper(c)
		if other == c {
			other = unicode.ToLower(c)
		}
		if other == c || changed && r.chance(0.5) {
			return c
		}
		changed = true
		return other
	})
	return w, changed
}

// swapped replaces characters by ones of table, each with probability p and at
// least one.
func swapped(table func() map[rune][]rune, p float64) func(string, uint64) (string, bool) {
	return func(word string, seed uint64) (string, bool) {
		r := seeded(seed, word)
		changed := false
		w, _ := mapped(word, func(c rune) rune {
			to := table()[unicode.ToLower(c)]
			if len(to) == 0 || changed && !r.chance(p) {
				return c
			}
			changed = true
			return pick(r, to)
		})
		return w, changed
	}
}

// leet writes digits and signs for letters; one letter at least is left.
func leet(word string, seed uint64) (string, bool) {
	r := seeded(seed, word)
	letters, changed := 0, 0
	for _, c := range word {
		if c < 0x80 && unicode.IsLetter(c) {
			letters++
		}
	}
	w, _ := mapped(word, func(c rune) rune {
		to := leetspeak()[unicode.ToLower(c)]
		if len(to) == 0 || changed+1 >= letters || changed > 0 && !r.chance(0.7) {
			return c
		}
		changed++
		return pick(r, to)
	})
	return w, changed > 0
}
