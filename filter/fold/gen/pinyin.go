package main

import (
	"slices"
	"strings"
)

// toneless takes the tone off a syllable of pinyin: lǜ is lü, ḿ is m.
func (s *sources) toneless(syllable string) string {
	var out strings.Builder
	for _, r := range syllable {
		for _, d := range s.toneParts(nil, r) {
			if d < 0x300 || d > 0x36F || d == 0x308 { // a letter, or the dots of ü and of nothing else
				out.WriteRune(d)
			}
		}
	}
	return out.String()
}

func (s *sources) toneParts(dst []rune, r rune) []rune {
	c := s.chars[r]
	if c == nil || len(c.decomp) == 0 {
		return append(dst, r)
	}
	for _, d := range c.decomp {
		dst = s.toneParts(dst, d)
	}
	return dst
}

// The Han characters of the basic plane that package fold has syllables for; a
// compatibility form has its canonical character's.
const (
	firstHan = 0x3400
	lastHan  = 0x9FFF
)

// syllables numbers the readings, from 1 and in alphabetical order.
func (b *builder) syllables() (ids [lastHan - firstHan + 1]int, count int) {
	var all []string
	plain := map[rune]string{}
	for r := rune(firstHan); r <= lastHan; r++ {
		reading, ok := b.mandarin[r]
		if !ok {
			reading, ok = b.mandarin[b.fine[r]]
		}
		if ok {
			plain[r] = b.toneless(reading)
			all = append(all, plain[r])
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for r, p := range plain {
		id, _ := slices.BinarySearch(all, p)
		ids[r-firstHan] = id + 1
	}
	return ids, len(all) + 1
}
