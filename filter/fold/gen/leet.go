package main

// groups are the letters, digits and symbols of leetspeak that share a coarse
// class; the first class is 1. Package fold says which may stand for which.
var groups = []string{"o0", "il1|!", "e3", "a4@", "s5$", "t7", "b8", "g9"}

// leetSymbol: a symbol of leetspeak, in any width.
func (b *builder) leetSymbol(r rune) (rune, bool) {
	for _, d := range b.decompose(nil, r) {
		if len(b.decompose(nil, r)) == 1 && (d == '@' || d == '$' || d == '!' || d == '|') {
			return d, true
		}
	}
	return 0, false
}

// group is the class of a rune of leetspeak; 0: it is in none.
func group(r rune) int {
	for i, g := range groups {
		for _, m := range g {
			if m == r {
				return i + 1
			}
		}
	}
	return 0
}
