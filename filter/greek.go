package filter

import (
	"bytes"
	"sync"
)

// Three capitals of Greek are drawn like one Latin letter while the small letter
// is drawn like another: Ν like N, but ν like v. Case is folded before looks
// are, so package fold takes such a capital for what the small letter looks
// like. A text that has one is read once more, with letters in their place that
// have as many bytes and count as what the capital looks like.
const (
	greekLead = 0xce // the first byte of all three

	capitalNu, likeN      = "\u039d", "\u0144" // ń
	capitalEta, likeH     = "\u0397", "\u0125" // ĥ
	capitalUpsilon, likeY = "\u03a5", "\u00fd" // ý
)

// twoFaced finds the first of these capitals, or -1.
func twoFaced(text []byte) int {
	for at := 0; ; at++ {
		i := bytes.IndexByte(text[at:], greekLead)
		if i < 0 || at+i+1 >= len(text) {
			return -1
		}
		at += i
		switch text[at+1] {
		case capitalNu[1], capitalEta[1], capitalUpsilon[1]:
			return at
		}
	}
}

// asLatin copies a text with these capitals, from the first on, as the letters
// that they look like.
func asLatin(dst, text []byte, first int) []byte {
	dst = append(dst[:0], text...)
	for at := first; at+1 < len(dst); at++ {
		if dst[at] != greekLead {
			continue
		}
		switch dst[at+1] {
		case capitalNu[1]:
			copy(dst[at:], likeN)
		case capitalEta[1]:
			copy(dst[at:], likeH)
		case capitalUpsilon[1]:
			copy(dst[at:], likeY)
		}
	}
	return dst
}

var latinTexts = sync.Pool{New: func() any { return new([]byte) }}
