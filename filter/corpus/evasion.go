package corpus

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Evasion is one way in which people write a listed word so that a filter
// misses it and a reader does not.
type Evasion struct {
	Name string
	// OneToOne says that a character stands for each character of the word;
	// otherwise characters are inserted or repeated.
	OneToOne bool
	// Apply writes a word so, always the same for the same seed. It is false
	// for a word that has nothing to change.
	Apply func(word string, seed uint64) (string, bool)
}

// Evasions returns all of them.
//
// What they do to a word is what a filter promises to see through: other styles
// of the same letter, characters that are not visible, up to three symbols
// between two letters, spaces between all letters, and letters that are
// repeated: at least as often as the word has them, in a word of fewer than
// four letters at least three times. Digits are never repeated, for 1 and 11
// are different numbers.
func Evasions() []Evasion {
	return append(oneToOne(), insertions()...)
}

func oneToOne() []Evasion {
	all := []Evasion{
		{Name: "upper and lower case", Apply: mixCase},
		{Name: "full width", Apply: styled([]style{{'Ａ', 'ａ', '０'}})},
		{Name: "circled", Apply: circled},
		{Name: "mathematical letters", Apply: styled(mathematical)},
		{Name: "Cyrillic look-alikes", Apply: swapped(cyrillic, 0.7)},
		{Name: "Greek look-alikes", Apply: swapped(greek, 0.7)},
		{Name: "accents", Apply: swapped(accented, 0.7)},
		{Name: "small capitals", Apply: swapped(smallCapitals, 1)},
		{Name: "superscript", Apply: swapped(superscript, 1)},
		{Name: "traditional characters", Apply: swapped(traditional, 1)},
		{Name: "digits in other styles", Apply: swapped(numerals, 1)},
		{Name: "leetspeak", Apply: leet},
	}
	for i := range all {
		all[i].OneToOne = true
	}
	return all
}

func insertions() []Evasion {
	return []Evasion{
		{Name: "zero-width characters", Apply: inserted([]string{"\u200b", "\u200c", "\u200d", "\u2060", "\ufeff"}, 1, 2)},
		{Name: "variation selectors and combining marks", Apply: inserted([]string{"\ufe0f", "\ufe0e", "\u0301", "\u0308", "\u0336", "\u0332"}, 1, 2)},
		{Name: "bidirectional controls", Apply: inserted([]string{"\u200e", "\u200f", "\u202a", "\u202d", "\u202c", "\u2066", "\u2068", "\u2069"}, 1, 2)},
		{Name: "soft hyphens", Apply: inserted([]string{"\u00ad"}, 1, 1)},
		{Name: "one symbol", Apply: inserted(symbols, 1, 1)},
		{Name: "two or three symbols", Apply: inserted(symbols, 2, 3)},
		{Name: "emoji", Apply: inserted([]string{"😂", "🔥", "👍", "💯", "🌹", "🐶", "✨", "🎉"}, 1, 1)},
		{Name: "spaced out", Apply: spacedOut},
		{Name: "repeated letters", Apply: repeated},
		{Name: "mixture", Apply: mixture},
	}
}

var symbols = []string{".", "-", "_", "*", "·", "~", "|", "+", "^", "。", "、", "•", "/"}

// inserted puts low to high of chars between every two letters of a word; a
// space in the word stays as it is.
func inserted(chars []string, low, high int) func(string, uint64) (string, bool) {
	return func(word string, seed uint64) (string, bool) {
		r := seeded(seed, word)
		var b strings.Builder
		last := ' '
		for _, c := range word {
			if wordRune(last) && wordRune(c) {
				for range r.between(low, high) {
					b.WriteString(pick(r, chars))
				}
			}
			b.WriteRune(c)
			last = c
		}
		return b.String(), b.Len() > len(word)
	}
}

func wordRune(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

// spacedOut writes b a d for bad. It takes words of letters and spaces.
func spacedOut(word string, _ uint64) (string, bool) {
	var letters []string
	for _, c := range word {
		if unicode.IsLetter(c) {
			letters = append(letters, string(c))
		} else if c != ' ' {
			return word, false
		}
	}
	return strings.Join(letters, " "), len(letters) > 1
}

// shortWord is how many letters a word has from which on a letter that is there
// twice may be meant once.
const shortWord = 4

// repeated writes most letters two to four times, in short words three or four
// times.
func repeated(word string, seed uint64) (string, bool) {
	r := seeded(seed, word)
	letters := 0
	for _, c := range word {
		if unicode.IsLetter(c) {
			letters++
		}
	}
	low := 2
	if letters < shortWord {
		low = 3
	}
	var b strings.Builder
	for rest := word; rest != ""; {
		c, size := utf8.DecodeRuneInString(rest)
		run := len(rest) - len(strings.TrimLeft(rest, rest[:size]))
		b.WriteString(rest[:run])
		// A run counts as a whole: oo becomes at least ooo.
		if n := run / size; unicode.IsLetter(c) && r.chance(0.8) {
			b.WriteString(strings.Repeat(rest[:size], max(r.between(low, 4)-n, 1)))
		}
		rest = rest[run:]
	}
	return b.String(), b.Len() > len(word)
}

// mixture is another style of letters, with something between them.
func mixture(word string, seed uint64) (string, bool) {
	r := seeded(seed, word)
	styles := []func(string, uint64) (string, bool){mixCase, styled(mathematical), swapped(cyrillic, 0.7), swapped(accented, 0.7), swapped(traditional, 1)}
	between := []func(string, uint64) (string, bool){
		inserted([]string{"\u200b", "\u2060"}, 1, 1), inserted(symbols, 1, 1), inserted([]string{"\ufe0f", "\u0301"}, 1, 1),
	}
	first := r.below(len(styles))
	for i := range styles {
		if w, ok := styles[(first+i)%len(styles)](word, seed); ok {
			return pick(r, between)(w, seed)
		}
	}
	return word, false
}

// carriers are what people say around a listed word.
var carriers = [][2]string{
	{"你这个", "啊"},
	{"主播就是", "吧，我说真的"},
	{"今天又有人说", "，大家不要理"},
	{"这里有", ""},
	{"", "这样的话也发"},
	{"哎呀 ", " 哦"},
	{"来了来了 ", "，看这边"},
	{"(", ")"},
	{"", ""},
	{"", " lol"},
	{"this ", " again"},
	{"please stop with the ", " already"},
	{"OMG ", "!!!"},
	{"he said ", ", and they laughed"},
	{"@chat: ", "."},
}

// Carry puts a word, evaded or not, into a sentence, so that it has neighbours.
func Carry(word string, seed uint64) string {
	c := pick(seeded(seed, "carry"), carriers)
	return c[0] + word + c[1]
}
