package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

// A pattern is a word in the form that matches are checked against. Its classes,
// equal neighbours once, are what the engine looks for; a run is the letters of
// one class in a row, and its blocks say what exactly it is made of.
type pattern struct {
	blocks []block
	gaps   []gap // symbols that belong to the word; mostly none
}

// A block is equal letters in a row. A run of one class has several blocks where
// letters that are told apart only by a close look stand together: "il".
type block struct {
	letter rune   // as fold.Fine gives it
	class  uint16 // of letter
	count  uint8
	flags  uint8
}

const (
	opens     = 1 << iota // the first block of its run
	exactly               // of digits: as many as written
	loosely               // of a long word or of ideographs: one more is a repeat, not another word
	spacedOut             // of a script that puts spaces between words
	alone                 // nothing but its own fine form is in the class
	interior              // the word has a symbol or space inside this block
	gapped                // the first block of a pattern with gaps
)

// A gap is symbols of the word before one of its runs, or behind the last.
type gap struct {
	run     uint16
	symbols string // without spaces, as written; may be empty: a space only
	size    uint8  // runes, spaces included
}

// shortWord is the number of letters below which a double letter makes another
// word: "god" and "good".
const shortWord = 4

var (
	errNoWord    = errors.New("it has no letter, digit or symbol that could be looked for")
	errLongWord  = fmt.Errorf("it has more than %d letters or symbols", MaxWordRunes)
	errBadUTF8   = errors.New("it is not valid UTF-8")
	errLongBytes = fmt.Errorf("it has more than %d bytes", MaxWordBytes)
)

// newPattern folds a word. A pattern without classes is made of symbols only.
func newPattern(word string) (pattern, error) {
	switch {
	case len(word) > MaxWordBytes:
		return pattern{}, errLongBytes
	case !utf8.ValidString(word):
		return pattern{}, errBadUTF8
	}
	var p pattern
	var symbols strings.Builder
	letters, signs, held := 0, 0, 0
	for _, r := range word {
		f := fold.Fine(r)
		if f == 0 {
			switch fold.KindOf(r) {
			case fold.Invisible:
			case fold.Space:
				held++
			default:
				held++
				symbols.WriteRune(r)
				if signs++; signs > MaxWordRunes {
					return pattern{}, errLongWord
				}
			}
			continue
		}
		if letters++; letters > MaxWordRunes {
			return pattern{}, errLongWord
		}
		p.add(f, held, symbols.String())
		held = 0
		symbols.Reset()
	}
	if len(p.blocks) == 0 {
		if symbols.Len() == 0 {
			return pattern{}, errNoWord
		}
		return p, nil
	}
	if symbols.Len() > 0 { // trailing spaces mean nothing
		p.gaps = append(p.gaps, gap{uint16(p.runs()), symbols.String(), uint8(min(held, 255))})
	}
	p.loosen(letters)
	return p, nil
}

// classes is what the engine looks for.
func (p *pattern) classes() (list []uint16) {
	for i := range p.blocks {
		if p.blocks[i].flags&opens != 0 {
			list = append(list, p.blocks[i].class)
		}
	}
	return list
}

func (p *pattern) runs() (n int) {
	for i := range p.blocks {
		n += int(p.blocks[i].flags & opens)
	}
	return n
}

// add appends a letter behind held symbols and spaces.
func (p *pattern) add(f rune, held int, symbols string) {
	c := fold.Coarse(f)
	last := len(p.blocks) - 1
	same := last >= 0 && p.blocks[last].class == c
	if !same && held > 0 && (last >= 0 || symbols != "") {
		p.gaps = append(p.gaps, gap{uint16(p.runs()), symbols, uint8(min(held, 255))})
	}
	if same && p.blocks[last].letter == f {
		p.blocks[last].count = min(p.blocks[last].count+1, maxRun)
		if held > 0 {
			p.blocks[last].flags |= interior
		}
		return
	}
	b := block{letter: f, class: c, count: 1}
	if !same {
		b.flags |= opens
	} else if held > 0 {
		b.flags |= interior
	}
	switch fold.KindOf(f) {
	case fold.Digit:
		b.flags |= exactly | spacedOut
	case fold.Ideograph:
		b.flags |= loosely
	default:
		b.flags |= spacedOut
	}
	if !merged[c] {
		b.flags |= alone
	}
	p.blocks = append(p.blocks, b)
}

func (p *pattern) loosen(letters int) {
	if letters < shortWord {
		return
	}
	for i := range p.blocks {
		if p.blocks[i].flags&exactly == 0 {
			p.blocks[i].flags |= loosely
		}
	}
}

// fits says whether so many letters of a text may stand for the block.
func (b *block) fits(count int) bool {
	k := int(b.count)
	switch {
	case count == k:
		return true
	case count < k || b.flags&exactly != 0:
		return false
	}
	return b.flags&loosely != 0 || count >= 3
}

// merged holds the classes in which several fine letters are.
var merged = func() (m [fold.Classes]bool) {
	var first [fold.Classes]rune
	for r := rune(0); r < 1<<16; r++ {
		c := fold.Coarse(r)
		if c == 0 {
			continue
		}
		f := fold.Fine(r)
		if first[c] == 0 {
			first[c] = f
		}
		if f == 0 || first[c] != f {
			m[c] = true
		}
	}
	for c := range m {
		m[c] = m[c] || first[c] == 0 // of characters beyond the basic plane, which share some
	}
	return m
}()
