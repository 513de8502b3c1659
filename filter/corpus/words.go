package corpus

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a word of Words.
const (
	minWord = 2  // characters
	maxWord = 32 // characters
)

// Words returns n distinct words such as lists of sensitive words have: names
// of wares and swindles, slogans, domains, accounts. They are spliced of rare
// vocabulary, and none is an everyday word, so that ordinary messages seldom
// hold one by chance: of 100,000 words one in 60 does, mostly where two
// of its own words meet. The words of a smaller n are the first ones of a larger n.
//
// Of them, 16 % are ASCII, a tenth mixes Han with Latin letters or digits, and
// the rest is Han; they have 16 bytes on average.
func Words(n int) []string {
	r := seeded(1, "words")
	zh, en := chinese(), english()
	words := make([]string, 0, n)
	seen := everyday(n)
	for len(words) < n {
		var w string
		switch x := r.float(); {
		case x < 0.16:
			w = latinWord(r, en)
		case x < 0.26:
			w = mixedWord(r, zh, en)
		default:
			w = hanWord(r, zh)
		}
		if c := utf8.RuneCountInString(w); c < minWord || c > maxWord || seen[w] {
			continue
		}
		seen[w] = true
		words = append(words, w)
	}
	return words
}

// everyday is a set, with room for n more, of the words that a list would not
// have: all common ones, and what ordinary chat holds of two to four characters.
func everyday(n int) map[string]bool {
	zh, en := chinese().common, english().common
	set := make(map[string]bool, n+len(zh)+len(en))
	for _, w := range zh {
		set[w] = true
	}
	for _, w := range en {
		set[w] = true
	}
	for i := range chatData {
		end := i
		for range 4 {
			_, size := utf8.DecodeRuneInString(chatData[end:])
			end += size
			set[chatData[i:end]] = true
		}
	}
	return set
}

// hanWord is a rare word as it is, two of them spliced, or more.
func hanWord(r *random, zh *vocabulary) string {
	switch x := r.float(); {
	case x < 0.09:
		return pick(r, zh.rare)
	case x < 0.26: // the ends of two: new words of two to four characters
		last := 2
		if r.chance(0.1) {
			last = 1
		}
		return head(pick(r, zh.rare), r.between(1, 2)) + tail(pick(r, zh.rare), last)
	case x < 0.70:
		return pick(r, zh.rare) + pick(r, zh.rare)
	case x < 0.93:
		return pick(r, zh.rare) + pick(r, zh.rare) + pick(r, zh.rare)
	default: // a slogan
		return pick(r, zh.rare) + pick(r, zh.rare) + pick(r, zh.rare) + pick(r, zh.rare)
	}
}

func head(word string, runes int) string {
	for i := range word {
		if runes == 0 {
			return word[:i]
		}
		runes--
	}
	return word
}

func tail(word string, runes int) string {
	for i := range word {
		if utf8.RuneCountInString(word[i:]) <= runes {
			return word[i:]
		}
	}
	return word
}

var (
	domains  = []string{".com", ".net", ".cc", ".top", ".vip", ".xyz", ".me"}
	accounts = []string{"QQ", "V", "vx", "q", "TG", "WX", "SM", "DVD", "USB", "APP"}
)

func latinWord(r *random, en *vocabulary) string {
	switch x := r.float(); {
	case x < 0.30:
		return pick(r, en.rare) + pick(r, en.rare)
	case x < 0.62:
		return pick(r, en.rare) + " " + pick(r, en.rare)
	case x < 0.70:
		return pick(r, en.rare) + " " + en.draw(r) + " " + pick(r, en.rare)
	case x < 0.82:
		return pick(r, en.rare) + digits(r, 1, 4)
	case x < 0.92:
		return strings.ReplaceAll(pick(r, en.rare), "'", "") + digits(r, 0, 3) + pick(r, domains)
	default:
		return pick(r, en.rare) + pick(r, en.rare) + pick(r, en.rare)
	}
}

func mixedWord(r *random, zh, en *vocabulary) string {
	switch x := r.float(); {
	case x < 0.25:
		return pick(r, accounts) + pick(r, zh.rare)
	case x < 0.50:
		return pick(r, zh.rare) + pick(r, accounts)
	case x < 0.70:
		return pick(r, zh.rare) + digits(r, 2, 6)
	case x < 0.80:
		return pick(r, zh.rare) + pick(r, en.rare)
	default:
		return head(pick(r, zh.rare), 2) + pick(r, accounts) + tail(pick(r, zh.rare), 2)
	}
}

// digits is a number of low to high digits; none for 0.
func digits(r *random, low, high int) string {
	n, limit := r.between(low, high), 1
	if n == 0 {
		return ""
	}
	for range n {
		limit *= 10
	}
	return strconv.Itoa(r.between(limit/10, limit-1))
}
