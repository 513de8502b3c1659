package filter

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/cloudflare/ahocorasick"
)

// Limits of the cloudflare engine, which takes 4 KiB for each byte of its
// dictionary.
const (
	// MaxSmallWords bounds its words when it is asked for by name: 140 MB.
	MaxSmallWords = 2000
	// smallWords and smallBytes bound a list for which it is chosen: 0.5 MB.
	smallWords = 16
	smallBytes = 128
	// nodeBytes is what it allocates for one byte.
	nodeBytes = 4168
)

// smallEngine finds class sequences by github.com/cloudflare/ahocorasick: the
// folded text, written as UTF-8 with a rune for each class, is searched for the
// folded words, and those that are in it are then located. Only
// MatchThreadSafe is used: Match writes to the matcher.
type smallEngine struct {
	ac     *ahocorasick.Matcher
	words  [][]byte
	owners []uint32 // as in engine
	first  []uint32
	size   int
}

// appendClass writes a class as a rune, so that no sequence of classes is found
// across the bytes of others.
func appendClass(dst []byte, c uint16) []byte {
	r := rune(c)
	if r >= 0xd800 {
		r += 0x2800 // over the surrogates and out of their plane
	}
	return utf8.AppendRune(dst, r)
}

func suitsSmall(sequences [][]uint16) bool {
	if len(sequences) == 0 || len(sequences) > smallWords {
		return false
	}
	size := 0
	for _, s := range sequences {
		for _, c := range s {
			size += len(appendClass(nil, c))
		}
	}
	return size <= smallBytes
}

func newSmallEngine(sequences [][]uint16) (*smallEngine, error) {
	if len(sequences) > MaxSmallWords {
		return nil, fmt.Errorf("%d words: the engine %s takes at most %d; leave the choice to the list's size", len(sequences), cloudflare, MaxSmallWords)
	}
	e := &smallEngine{}
	known := map[string]int{}
	var owners [][]uint32
	for i, s := range sequences {
		var word []byte
		for _, c := range s {
			word = appendClass(word, c)
		}
		at, ok := known[string(word)] // it reports only the last of equal words
		if !ok {
			at = len(e.words)
			known[string(word)] = at
			e.words = append(e.words, word)
			owners = append(owners, nil)
			e.size += nodeBytes * len(word)
		}
		owners[at] = append(owners[at], uint32(i))
	}
	for _, o := range owners {
		e.first = append(e.first, uint32(len(e.owners)))
		e.owners = append(e.owners, o...)
	}
	e.first = append(e.first, uint32(len(e.owners)))
	e.ac = ahocorasick.NewMatcher(e.words)
	return e, nil
}

func (e *smallEngine) bytes() int { return e.size + 4*len(e.owners) + 4*len(e.first) }

// foldedText is a text by its classes; pooled, because it is as long as the
// text.
type foldedText struct {
	classes []byte  // one rune for each run
	at      []int32 // place in classes → place of the run in the text, by byte of classes
	places  []place
}

type place struct {
	at   int32
	term uint32
	size int
}

var foldedTexts = sync.Pool{New: func() any { return new(foldedText) }}

func (m *matcher) collectSmall(dst []Span, text []byte, w wanted) []Span {
	t := foldedTexts.Get().(*foldedText)
	defer foldedTexts.Put(t)
	dst, leet := m.passSmall(dst, text, m.engine.plain, t, w)
	if leet && beside(text, m.engine.plain) {
		dst, _ = m.passSmall(dst, text, m.engine.leet, t, w)
	}
	return dst
}

func (m *matcher) passSmall(dst []Span, text []byte, bmp *[1 << 16]uint16, t *foldedText, w wanted) (_ []Span, leet bool) {
	t.classes, t.at, t.places = t.classes[:0], t.at[:0], t.places[:0]
	prev := uint16(0)
	for at := 0; at < len(text); {
		c, size := m.engine.rawClass(text, at, bmp)
		if c == symbol {
			leet, c = true, 0
		}
		if c != 0 && c != prev {
			t.classes = appendClass(t.classes, c)
			for len(t.at) < len(t.classes) {
				t.at = append(t.at, int32(at))
			}
			prev = c
		}
		at += size
	}
	for _, i := range m.small.ac.MatchThreadSafe(t.classes) {
		word := m.small.words[i]
		for from := 0; ; {
			k := bytes.Index(t.classes[from:], word)
			if k < 0 {
				break
			}
			t.places = append(t.places, place{t.at[from+k], uint32(i), len(word)})
			_, step := utf8.DecodeRune(t.classes[from+k:])
			from += k + step
		}
	}
	slices.SortFunc(t.places, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.size, b.size)) })
	for i := 0; i < len(t.places); {
		var f found
		at := t.places[i].at
		for ; i < len(t.places) && t.places[i].at == at; i++ {
			f.term[f.n] = t.places[i].term
			f.n++
		}
		dst = m.confirm(dst, text, bmp, at, &f, w)
	}
	return dst, leet
}
