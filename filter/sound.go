package filter

import (
	"sync"

	"github.com/barrage-im/barrage/filter/fold"
)

// soundPattern is a word by its syllables; false when not all of it has one.
func soundPattern(word string) (pattern, bool) {
	var p pattern
	for _, r := range word {
		s := fold.Syllable(r)
		if s == 0 {
			return pattern{}, false
		}
		b := block{letter: rune(s), class: s, count: 1, flags: opens | loosely | alone}
		if n := len(p.blocks); n > 0 && p.blocks[n-1].class == s {
			p.blocks[n-1].count++
			continue
		}
		p.blocks = append(p.blocks, b)
	}
	return p, len(p.blocks) > 0
}

// buildSounds makes the matcher of the strict level.
func (b *builder) buildSounds(r *rules) (matcher, error) {
	if len(b.sequences) == 0 {
		return matcher{}, nil
	}
	return b.build(folded, r, syllables())
}

// other is the class of what is written in letters and has no sound. Pinyin has
// some 400 syllables.
const other = 1<<10 - 1

// syllables are the classes of the strict level: what a Han character sounds
// like. What is written in other letters sounds like nothing in
// a list.
var syllables = sync.OnceValue(func() *classes {
	var table [1 << 16]uint16
	of := func(r rune) uint16 {
		if s := fold.Syllable(r); s != 0 || fold.Coarse(r) == 0 || fold.LeetSymbol(r) {
			return s
		}
		return other
	}
	for r := range rune(1 << 16) {
		table[r] = of(r)
	}
	ascii := asciiOf(&table)
	return &classes{plain: &table, leet: &table, ascii: ascii, asciiLeet: ascii, wide: of, count: other + 1}
})
