package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// marks are the characters that mean something in a word, and mean themselves
// behind a backslash.
const marks = `#%!*|=\`

// lineWord is what stands before an entry's tab.
type lineWord struct {
	text        string
	allow       bool
	left, right bool
	trimmed     bool // spaces were taken off
	comment     bool // it looks as if a comment were in it
}

// parseWord reads [!][*||] word [*||].
func parseWord(line string) (w lineWord, problem string) {
	text := strings.TrimFunc(line, unicode.IsSpace)
	w.trimmed = len(text) != len(line)
	if rest, ok := strings.CutPrefix(text, "!"); ok {
		w.allow, text = true, rest
	}
	var first, last byte // the marks at the ends, or 0
	if text != "" && (text[0] == '*' || text[0] == '|') {
		first, text = text[0], text[1:]
	}
	if n := len(text); n > 0 && (text[n-1] == '*' || text[n-1] == '|') && !escaped(text, n-1) {
		last, text = text[n-1], text[:n-1]
	}
	w.comment = strings.Contains(text, " # ")
	if text, problem = unescape(text); problem != "" {
		return w, problem
	}
	w.text = strings.TrimFunc(text, unicode.IsSpace)
	w.trimmed = w.trimmed || len(w.text) != len(text)
	switch {
	case strings.IndexFunc(w.text, visible) < 0:
		return w, "there is no word in this line"
	case len(w.text) > MaxWordBytes:
		return w, fmt.Sprintf("%.40q… has %d bytes; a word has at most %d", w.text, len(w.text), MaxWordBytes)
	}
	w.left, w.right = boundaries(w.text)
	if first != 0 {
		w.left = first == '|'
	}
	if last != 0 {
		w.right = last == '|'
	}
	return w, ""
}

// escaped says whether the byte at i stands behind a backslash that counts.
func escaped(text string, i int) bool {
	n := 0
	for i-n > 0 && text[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// unescape refuses marks that probably meant something else than themselves.
func unescape(text string) (plain, problem string) {
	if !strings.ContainsAny(text, `\*|=`) {
		return text, ""
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			if i++; i == len(text) || strings.IndexByte(marks, text[i]) < 0 {
				return "", fmt.Sprintf(`\ in %.40q: a backslash stands only before one of %s; write \\ for itself`, text, marks)
			}
		case '*', '|':
			return "", fmt.Sprintf(`%c inside %.40q: it means something only at an end of a word; write \%c for itself`, c, text, c)
		case '=':
			before := text[:i]
			if name := before[strings.LastIndexByte(before, ' ')+1:]; len(name) < i && isOption(name) {
				return "", fmt.Sprintf(`%s= inside %.40q: options need a tab before them; write \= for a word that has it`, name, text)
			}
		}
		b = append(b, text[i])
	}
	return string(b), ""
}

func isOption(name string) bool {
	for _, n := range optionNames {
		if n == name {
			return true
		}
	}
	return false
}

// boundaries says for each end of a word whether the word must end there where
// nothing else is asked for: at letters of scripts that put spaces between
// words, and at digits.
func boundaries(word string) (left, right bool) {
	for _, r := range word {
		if !attached(r) {
			left = spaced(r)
			break
		}
	}
	for end := len(word); end > 0; {
		r, size := utf8.DecodeLastRuneInString(word[:end])
		if !attached(r) {
			right = spaced(r)
			break
		}
		end -= size
	}
	return left, right
}

// attached are characters that belong to the one before them, or to none.
func attached(r rune) bool { return r >= 0x80 && unicode.In(r, unicode.M, unicode.Cf) }

func visible(r rune) bool { return !attached(r) }

// spaced are digits and the letters of scripts that put spaces between words.
func spaced(r rune) bool {
	switch {
	case r < 0x80:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	case r >= 0x4e00 && r <= 0x9fff, r >= 0xac00 && r <= 0xd7a3, r >= 0x3000 && r <= 0x30ff:
		return false // most words that get here: Han, Hangul, kana
	case r == 0xff70 || r == 0xff9e || r == 0xff9f:
		return false // half-width marks of kana, in no script's table
	case !unicode.IsLetter(r):
		return unicode.IsDigit(r)
	}
	return r < 0x0e00 || !unicode.In(r, unspaced...)
}

// unspaced are scripts without spaces between words, and Hangul, whose words
// take endings.
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Yi, unicode.Tangut, unicode.Nushu,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
	unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham, unicode.Tai_Viet, unicode.Balinese, unicode.Javanese,
}

// sameWord is equal for words that a list may have once: composed, in lower
// case. What else folds to the same is found when a filter is compiled.
func sameWord(word string) string {
	for i := range len(word) {
		if word[i] >= utf8.RuneSelf {
			return strings.ToLower(norm.NFC.String(word))
		}
	}
	return strings.ToLower(word)
}

// contradiction says in what two entries for the same word differ.
func contradiction(a, b *Entry) string {
	switch {
	case a.Allow != b.Allow:
		return "one is allowed and one is not"
	case a.Action != b.Action:
		return fmt.Sprintf("action %s there, %s here", a.Action, b.Action)
	case a.Severity != b.Severity:
		return fmt.Sprintf("severity %d there, %d here", a.Severity, b.Severity)
	case a.Left != b.Left || a.Right != b.Right:
		return "they end differently (* and |)"
	case a.Strict != b.Strict:
		return "one is strict and one is not"
	case strings.Join(a.Categories, ",") != strings.Join(b.Categories, ","):
		return "the categories differ"
	case a.Language != b.Language:
		return fmt.Sprintf("language %q there, %q here", a.Language, b.Language)
	}
	return ""
}
