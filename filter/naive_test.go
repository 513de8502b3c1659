package filter

import (
	"strings"
	"testing"
)

// Naive finds what Filter.Scan finds without prefilter and trie: at every
// letter it looks all sequences up that the text has there.
type Naive struct {
	f       *Filter
	owners  map[string][]uint32
	longest int
}

// NewNaive compiles words, some of which stand by themselves only.
func NewNaive(tb testing.TB, words []string) *Naive {
	tb.Helper()
	entries := make([]Entry, len(words))
	for i, w := range words {
		entries[i] = Entry{Word: w, Action: Mask, Severity: 2, Left: w[0] < 0x80 && i%2 == 0, Right: w[0] < 0x80 && i%3 == 0}
	}
	f, err := Compile(entries, Options{Engine: folded})
	if err != nil {
		tb.Fatal(err)
	}
	n := &Naive{f: f, owners: map[string][]uint32{}}
	m := &f.words
	for at := uint32(0); int(at) < len(m.patterns); {
		of, p := m.owner(at)
		key := classKey(p.classes())
		n.owners[key] = append(n.owners[key], at)
		n.longest = max(n.longest, len(p.classes()))
		at += 1 + uint32(of.class)
	}
	return n
}

func classKey(classes []uint16) string {
	var b strings.Builder
	for _, c := range classes {
		b.WriteByte(byte(c >> 8))
		b.WriteByte(byte(c))
	}
	return b.String()
}

// Filter is what it is compared with.
func (n *Naive) Filter() *Filter { return n.f }

// Scan is Filter.Scan.
func (n *Naive) Scan(text []byte) []Span {
	e := n.f.words.engine
	spans, leet := n.pass(text, e.plain)
	if leet && beside(text, e.plain) {
		more, _ := n.pass(text, e.leet)
		spans = append(spans, more...)
	}
	return n.f.choose(spans, text)
}

func (n *Naive) pass(text []byte, bmp *[1 << 16]uint16) (spans []Span, leet bool) {
	var letters []uint16
	var places []int32
	for at := 0; at < len(text); {
		c, size := n.f.words.engine.rawClass(text, at, bmp)
		leet = leet || c == symbol
		if c != 0 && c != symbol && (len(letters) == 0 || letters[len(letters)-1] != c) {
			letters, places = append(letters, c), append(places, int32(at))
		}
		at += size
	}
	key := classKey(letters)
	m := &n.f.words
	for i := range letters {
		for size := min(n.longest, len(letters)-i); size > 0; size-- {
			for _, at := range n.owners[key[2*i:2*(i+size)]] {
				of, p := m.owner(at)
				spans, _ = m.engine.closely(spans, text, bmp, places[i], p, of.flags, uint32(of.letter))
			}
		}
	}
	return spans, leet
}
