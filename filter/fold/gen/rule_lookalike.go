package main

import "strings"

// resembling are the scripts whose letters are used for Latin ones. Not among
// them are scripts whose own readers would suffer: Arabic (ا is no l), Hebrew,
// Thai and the scripts of India, and Han above all.
var resembling = map[string]bool{
	"Latin": true, "Greek": true, "Cyrillic": true, "Armenian": true, "Cherokee": true, "Coptic": true, "Common": true,
	"Lisu": true, "Deseret": true, "Osage": true, "Warang_Citi": true, "Canadian_Aboriginal": true, "Elbasan": true,
	"Old_Italic": true, "Lycian": true, "Lydian": true, "Carian": true, "Gothic": true, "Glagolitic": true,
}

// notAlike are left out of UTS #39's look-alikes.
var notAlike = map[rune]bool{
	'σ': true, // would be ο, which Greek readers tell apart
}

// alsoAlike are ours: UTS #39 has n and o with a mark for η and ɵ, and i for the
// palochka, which is a stroke without a dot.
var alsoAlike = map[rune]rune{'η': 'n', 'ɵ': 'o', 'ӏ': 'l'}

// lookAlike: UTS #39's confusable letters, as far as one leads to one ASCII
// letter. A letter without one takes its capital's (в is not b, but В is B),
// so that case never matters. Digits and symbols are nobody's look-alikes.
func (b *builder) lookAlike(r rune) (rune, bool) {
	if r < 0x80 || !b.letter(r) {
		return 0, false
	}
	if to, ok := b.prototype(r, 0); ok {
		return to, true
	}
	for _, u := range b.upper[r] {
		if to, ok := b.prototype(u, 0); ok {
			return to, true
		}
	}
	return 0, false
}

// prototype follows the confusables to an ASCII letter, in lower case.
func (b *builder) prototype(r rune, depth int) (rune, bool) {
	if notAlike[r] || !b.letter(r) || !resembling[b.script[r]] || depth > maxSteps {
		return 0, false
	}
	to, ok := b.confusable[r]
	if also, has := alsoAlike[r]; has {
		to, ok = also, true
	}
	if !ok || to == r {
		return 0, false
	}
	if low, ok := asciiLetter(to); ok {
		return low, true
	}
	if to < 0x80 {
		return 0, false
	}
	if c := b.chars[to]; c != nil && !strings.Contains(c.name, " WITH ") {
		// A small capital. With a bar or hook the likeness has gone too far: ε is
		// said to be like ꞓ, but is no c.
		if next, ok := b.named(to); ok {
			return asciiLetter(next)
		}
	}
	return b.prototype(to, depth+1)
}

func asciiLetter(r rune) (rune, bool) {
	if r >= 'A' && r <= 'Z' {
		r += 'a' - 'A'
	}
	return r, r >= 'a' && r <= 'z'
}
