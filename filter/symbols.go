package filter

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

// MaxSymbolWords bounds the words that have no letter or digit.
const MaxSymbolWords = 1000

// symbolWords are the words of symbols and emoji, which no engine sees. They are
// looked for one by one, of those that begin with a rune of the text.
type symbolWords struct {
	words []symbolWord // by first rune
	first [4]uint64    // bits of the bytes that words begin with
}

type symbolWord struct {
	runes []rune // without the invisible ones
	entry uint32
}

func newSymbolWords(words []symbolWord) (symbolWords, error) {
	if len(words) > MaxSymbolWords {
		return symbolWords{}, fmt.Errorf("%d words have no letter or digit: at most %d are taken", len(words), MaxSymbolWords)
	}
	s := symbolWords{words: words}
	slices.SortStableFunc(s.words, func(a, b symbolWord) int { return cmp.Compare(a.runes[0], b.runes[0]) })
	for _, w := range s.words {
		b := utf8.AppendRune(nil, w.runes[0])[0]
		s.first[b>>6] |= 1 << (b & 63)
	}
	return s, nil
}

// visible are the runes of a word that can be seen.
func visibleRunes(word string) (runes []rune) {
	for _, r := range word {
		if fold.KindOf(r) != fold.Invisible {
			runes = append(runes, r)
		}
	}
	return runes
}

func (s *symbolWords) bytes() (n int) {
	for _, w := range s.words {
		n += 32 + 4*len(w.runes)
	}
	return n
}

// collect appends where the words stand, overlapping ones too.
func (s *symbolWords) collect(dst []Span, text []byte, w wanted) []Span {
	if len(s.words) == 0 {
		return dst
	}
	for at := 0; at < len(text); {
		if b := text[at]; s.first[b>>6]>>(b&63)&1 == 0 {
			at++
			continue
		}
		r, size := utf8.DecodeRune(text[at:])
		i, _ := slices.BinarySearchFunc(s.words, r, func(w symbolWord, r rune) int { return cmp.Compare(w.runes[0], r) })
		for ; i < len(s.words) && s.words[i].runes[0] == r; i++ {
			word := &s.words[i]
			meta := &w.f.rules.meta[word.entry]
			if meta.severity < w.severity && meta.flags&metaAllow == 0 {
				continue
			}
			if end, ok := word.stands(text, at+size); ok {
				dst = append(dst, Span{int32(at), int32(end), word.entry})
			}
		}
		at += size
	}
	return dst
}

// stands says whether the word goes on behind its first rune, and where it
// ends.
func (w *symbolWord) stands(text []byte, at int) (end int, ok bool) {
	for _, want := range w.runes[1:] {
		for hidden := 0; ; hidden++ {
			if at >= len(text) || hidden > maxInvisible {
				return 0, false
			}
			r, size := utf8.DecodeRune(text[at:])
			at += size
			if r == want && (r != utf8.RuneError || size > 1) {
				break
			}
			if fold.KindOf(r) != fold.Invisible {
				return 0, false
			}
		}
	}
	return at, true
}
