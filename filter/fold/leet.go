package fold

// leetGroups are the characters of leetspeak that share a class; the first
// class is 1. I and l are drawn alike in many fonts, 1 and ! in some.
var leetGroups = [leetClasses]string{"o0", "il1|!", "e3", "a4@", "s5$", "t7", "b8", "g9"}

// StandsFor says whether r, a rune of a text, may stand for p, a rune of a word
// (p = Fine(p)). leet says that it does only as leetspeak: a digit or symbol for
// a letter, or O, I, l for a digit. l for i, and a capital I for l, are not.
func StandsFor(r, p rune) (ok, leet bool) {
	c := Coarse(r)
	if c == 0 || c != Coarse(p) {
		return false, false
	}
	f := Fine(r)
	if f == p && f != 0 {
		return true, false
	}
	if c > leetClasses {
		return false, false
	}
	switch {
	case f == 'l' && p == 'i', f == 'i' && p == 'l' && drawnAsI(r):
		return true, false
	case f >= '0' && f <= '9':
		return p >= 'a', p >= 'a'
	case f == 0: // a symbol
		return p >= 'a', p >= 'a'
	case p == '0', p == '1' && (f == 'l' || drawnAsI(r)):
		return true, true
	default:
		return false, false
	}
}

// LeetSymbol: r is a symbol with a class, such as @. What reads a text a second
// time may skip it like other symbols.
func LeetSymbol(r rune) bool {
	switch r {
	case '@', '$', '!', '|':
		return true
	}
	return r >= 0x80 && find(symbols, r) != 0
}

// drawnAsI: r is a capital I in some style, not i.
func drawnAsI(r rune) bool {
	if r < 0x80 {
		return r == 'I'
	}
	lo, hi := 0, len(capitalI)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if capitalI[mid].to <= r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(capitalI) && r >= capitalI[lo].from
}
