package main

import "strings"

// Kinds, numbered as in package fold.
const (
	kindSkip = iota
	kindLetter
	kindDigit
	kindIdeograph
	kindInvisible
	kindSpace
	kindSymbol
)

// optionalMarks are the scripts whose marks a reader can do without; the marks
// are skipped. In the others (Thai, the scripts of India, …) marks are vowels.
var optionalMarks = map[string]bool{
	"": true, "Inherited": true, "Common": true, "Latin": true, "Greek": true, "Cyrillic": true, "Coptic": true,
	"Glagolitic": true, "Hebrew": true, "Arabic": true, "Syriac": true, "Hangul": true, "Hiragana": true, "Katakana": true,
}

// unspaced are the scripts that are written without spaces between words, and
// hangul, where a space separates phrases.
var unspaced = map[string]bool{
	"Han": true, "Hiragana": true, "Katakana": true, "Hangul": true, "Bopomofo": true, "Yi": true,
	"Thai": true, "Lao": true, "Khmer": true, "Myanmar": true, "Tibetan": true,
	"Tangut": true, "Nushu": true, "Khitan_Small_Script": true, "Javanese": true, "Balinese": true, "Tai_Le": true,
	"New_Tai_Lue": true, "Tai_Tham": true, "Tai_Viet": true,
}

const brailleBlank = 0x2800 // a symbol by its category, empty by its looks

// skipKind says as what a rune is skipped that folds to nothing.
func (s *sources) skipKind(r rune) int {
	c := s.chars[r]
	switch {
	case s.ignorable[r]:
		return kindInvisible
	case c == nil || c.gc == "Co" || c.gc == "Cs":
		return kindSkip
	case r == brailleBlank || strings.HasPrefix(c.gc, "Z") || r >= '\t' && r <= '\r' || r == 0x85:
		return kindSpace
	case strings.HasPrefix(c.gc, "M"), c.gc == "Cc", c.gc == "Cf", r == 0xFF9E, r == 0xFF9F:
		return kindInvisible // the last two are the halfwidth voicing marks
	default:
		return kindSymbol
	}
}

// skippedMark: it says how a letter is drawn, or spoken, not which one it is.
func (s *sources) skippedMark(r rune) bool {
	c := s.chars[r]
	return c != nil && strings.HasPrefix(c.gc, "M") && optionalMarks[s.script[r]]
}

// modifierSign: U+02B9 to U+02FF are apostrophes, accents and tone marks by
// their looks though many are letters by category. Those that decompose to a
// letter are handled before.
func modifierSign(r rune) bool { return r >= 0x2B9 && r <= 0x2FF }

// wordRune says whether a rune that no rule changes counts as itself.
func (s *sources) wordRune(r rune) bool {
	c := s.chars[r]
	if c == nil || s.ignorable[r] || modifierSign(r) || s.skippedMark(r) {
		return false
	}
	switch c.gc[0] {
	case 'L', 'M':
		return true
	case 'N':
		return c.gc != "No" // a number of several digits, or a fraction
	default:
		return false
	}
}

// wordKind is the kind of a rune that counts as itself.
func (s *sources) wordKind(r rune) int {
	switch {
	case s.chars[r].gc == "Nd":
		return kindDigit
	case unspaced[s.script[r]], r == 0x30FC: // the mark of a long vowel has no script of its own
		return kindIdeograph
	default:
		return kindLetter
	}
}
