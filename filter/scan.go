package filter

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// A scanner walks over a text once, a window of letters at a time. It folds the
// window, then runs the prefilter over it. It lives on its caller's stack.
type scanner struct {
	e    *engine
	text []byte
	bmp  *[1 << 16]uint16
	at   int  // next byte to fold
	n    int  // letters in the window
	end  bool // the text ends with it
	leet bool // a symbol that may stand for a letter was skipped

	state  uint64 // of the prefilter
	starts uint64 // letters of the window at which a sequence may begin

	// The letters' classes and places in the text. The first ones are of the
	// window before.
	class [window]uint16
	place [window]int32
}

const (
	// window is how many letters there are in one, for as many bits. Most
	// messages have fewer.
	window = 64
	// before is how many of them are of the window before: those of a word that
	// the automaton speaks of.
	before = 8
)

// symbol is in place of a class where a symbol is skipped that may stand for a
// letter.
const symbol = 1<<16 - 1

// begin puts the scanner at the beginning of a text.
func (s *scanner) begin(e *engine, text []byte, bmp *[1 << 16]uint16) {
	s.e, s.text, s.bmp = e, text, bmp
	s.at, s.n, s.end, s.leet, s.state = 0, before, false, false, 0
	clear(s.class[:before])
}

// next goes on to the next window, false at the end of the text.
func (s *scanner) next() bool {
	if s.end {
		return false
	}
	if s.n > before {
		copy(s.class[:before], s.class[s.n-before:s.n])
		copy(s.place[:before], s.place[s.n-before:s.n])
	}
	s.fold()
	n := s.n
	if s.at >= len(s.text) && n+places-1 <= window {
		// What follows the text matches no letter: behind it the automaton tells of
		// the words that would have been longer.
		for range places - 1 {
			s.class[n] = 0
			n++
		}
		s.end = true
	}
	starts, state := s.e.filter.run(s.class[before:n], s.class[before-1], s.state)
	s.starts, s.state = bits.Reverse64(starts)>>(window-1-(n-reach)), state // bit 0 is letter n-reach
	if s.starts != 0 {
		s.e.narrow(s)
	}
	if s.e.ones != nil {
		for i := before; i < s.n; i++ {
			c := s.class[i]
			s.starts |= s.e.ones[c>>6] >> (c & 63) & 1 << i
		}
	}
	return true
}

// fold folds the next letters of the text. Equal neighbours count once. What
// the letters are is looked up and reckoned with, not branched on: in a chat
// no processor guesses where a word ends. What is skipped, or doubled, is
// overwritten by the next.
func (s *scanner) fold() {
	text, bmp, class, place := s.text, s.bmp, &s.class, &s.place
	at, n, prev, seen := s.at, before, uint32(class[before-1]), uint32(0)
	ascii := s.e.ascii
	if bmp != s.e.plain {
		ascii = s.e.asciiLeet
	}
	for n < window && at < len(text) {
		for n < window && at < len(text)-3 {
			w := binary.LittleEndian.Uint32(text[at:])
			var c uint32
			size := 1
			if w&0x80 == 0 {
				c = ascii[w&0x7f]
				seen |= c
				c &= 0xffff
			} else if threeBytes(w) {
				c = uint32(bmp[threeByteRune(w)])
				size = 3
			} else {
				break // of two bytes, of four, or damaged
			}
			class[n&(window-1)], place[n&(window-1)] = uint16(c), int32(at)
			if c == 0 {
				c = prev
			}
			n += int(((c ^ prev) + 0xffff) >> 16)
			prev = c
			at += size
		}
		if n == window || at >= len(text) {
			break
		}
		k, size := uint16(0), 1
		if w := endOf(text, at); w&0x80 == 0 {
			seen |= ascii[w&0x7f]
			k = uint16(ascii[w&0x7f])
		} else if threeBytes(w) {
			k, size = bmp[threeByteRune(w)], 3
		} else {
			k, size = s.e.rawClass(text, at, bmp)
		}
		if c := uint32(k); c != 0 && c != prev {
			class[n&(window-1)], place[n&(window-1)] = k, int32(at)
			prev = c
			n++
		}
		at += size
	}
	s.at, s.n = at, n
	s.leet = s.leet || seen>>16 != 0
}

// threeBytes says whether a word, of which the lowest byte comes first, begins
// with a rune of three bytes, not written longer than it has to be. Those of
// surrogates pass: no class is theirs.
func threeBytes(w uint32) bool { return w&0xc0c0f0 == 0x8080e0 && w&0x200f != 0 }

func threeByteRune(w uint32) uint16 { return uint16(w<<12 | w>>2&0xfc0 | w>>16&0x3f) }

// endOf is the next bytes of a text, or fewer and zeros behind.
func endOf(text []byte, at int) uint32 {
	switch rest := text[at:]; len(rest) {
	case 1:
		return uint32(rest[0])
	case 2:
		return uint32(rest[0]) | uint32(rest[1])<<8
	default:
		return uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
	}
}

// beside says whether a text has a symbol where it may be meant as a letter:
// before a letter or digit of ASCII or another such symbol, or, for those that
// are like no punctuation, behind one.
func beside(text []byte, bmp *[1 << 16]uint16) bool {
	letter := func(at int) bool { return at < len(text) && text[at] < utf8.RuneSelf && bmp[text[at]] != 0 }
	for at, b := range text {
		if b >= utf8.RuneSelf || bmp[b] != symbol {
			continue
		}
		if letter(at+1) || (b == '$' || b == '@') && at > 0 && letter(at-1) {
			return true
		}
	}
	return false
}
