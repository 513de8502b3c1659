package filter

import (
	"cmp"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

// An engine finds the places where patterns may stand: prefilter, then trie. It
// is immutable, and made of flat slices without pointers.
type engine struct {
	filter  prefilter
	trie    trie
	ones    []uint64 // classes that are a sequence of their own; nil: none
	owners  []uint32 // patterns of the sequences, in their order
	first   []uint32 // sequence i is that of owners[first[i]:first[i+1]]
	longest int      // classes of the longest sequence

	*classes
}

// classes says what class a rune is of. All engines share the tables.
type classes struct {
	plain *[1 << 16]uint16 // symbols that may be letters are symbol
	leet  *[1 << 16]uint16 // those symbols as letters
	// The same for ASCII; bit 16 tells of symbols that plain skips.
	ascii, asciiLeet *[utf8.RuneSelf]uint32

	wide  func(r rune) uint16
	count int
}

// folds are the classes of package fold.
var folds = func() classes {
	plain := fold.BMP
	for r := range plain {
		switch {
		case !fold.LeetSymbol(rune(r)):
		case r < utf8.RuneSelf:
			plain[r] = symbol
		default:
			plain[r] = 0 // the full-width one is punctuation before all
		}
	}
	return classes{
		plain: &plain, leet: &fold.BMP, ascii: asciiOf(&plain), asciiLeet: asciiOf(&fold.BMP),
		wide: fold.Coarse, count: fold.Classes,
	}
}()

func asciiOf(bmp *[1 << 16]uint16) *[utf8.RuneSelf]uint32 {
	var ascii [utf8.RuneSelf]uint32
	for b := range ascii {
		ascii[b] = uint32(bmp[b])
		if bmp[b] == symbol {
			ascii[b] = 1 << 16
		}
	}
	return &ascii
}

var _ [symbol - fold.Classes]struct{} // symbol is no class

// newEngine makes an engine of pattern i's class sequences[i]; those without
// classes are not in it.
func newEngine(sequences [][]uint16, left []bool, c *classes) *engine {
	order := make([]uint32, 0, len(sequences))
	for i, s := range sequences {
		if len(s) > 0 {
			order = append(order, uint32(i))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int {
		if c := slices.Compare(sequences[a], sequences[b]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	e := &engine{classes: c}
	var distinct [][]uint16
	for i, o := range order {
		if i == 0 || !slices.Equal(sequences[o], distinct[len(distinct)-1]) {
			distinct = append(distinct, sequences[o])
			e.first = append(e.first, uint32(i))
			e.longest = max(e.longest, len(sequences[o]))
		}
	}
	e.owners = order
	e.first = append(e.first, uint32(len(order)))
	begins := make([]bool, len(distinct)) // words only
	for i := range begins {
		begins[i] = left != nil
		for _, o := range e.owners[e.first[i]:e.first[i+1]] {
			begins[i] = begins[i] && left[o]
		}
	}
	e.filter = newPrefilter(distinct, begins)
	e.trie = newTrie(distinct)
	for _, o := range e.trie.ones {
		if e.ones == nil {
			e.ones = make([]uint64, (c.count+63)/64)
		}
		e.ones[o.class>>6] |= 1 << (o.class & 63)
	}
	return e
}

func (e *engine) bytes() int {
	return e.filter.bytes() + e.trie.bytes() + 8*len(e.ones) + 4*len(e.owners) + 4*len(e.first)
}

// classOf is the class of the rune at a place, which is size bytes long.
func (c *classes) classOf(text []byte, at int, bmp *[1 << 16]uint16) (class uint16, size int) {
	class, size = c.rawClass(text, at, bmp)
	if class == symbol {
		class = 0
	}
	return class, size
}

func (c *classes) rawClass(text []byte, at int, bmp *[1 << 16]uint16) (class uint16, size int) {
	if b := text[at]; b < utf8.RuneSelf {
		return bmp[b], 1
	}
	r, size := utf8.DecodeRune(text[at:])
	if r < 1<<16 {
		return bmp[uint16(r)], size // RuneError is U+FFFD, a symbol
	}
	return c.wide(r), size
}

// found is sequences that begin at one place, the shortest first.
type found struct {
	n    int
	term [MaxWordRunes]uint32
}

// look finds what begins at letter i of a scanner's window.
func (e *engine) look(s *scanner, i int, out *found) {
	out.n = 0
	if a := s.letter(i); e.ones != nil && e.ones[a>>6]>>(a&63)&1 != 0 {
		out.term[0], _ = e.trie.one(a)
		out.n = 1
	}
	head, has := e.heads(s, i)
	if has&hasTwo != 0 {
		e.enter(s, i+2, head&two, out)
	}
	if has&hasThree != 0 && head&three != head&two {
		e.enter(s, i+3, head&three, out)
	}
	if has&hasFour != 0 && head != head&three {
		e.enter(s, i+4, head, out)
	}
}

// heads is the head of letter i and which lengths of it words may have.
func (e *engine) heads(s *scanner, i int) (head, has uint64) {
	a, b, c, d := s.letter(i), s.letter(i+1), s.letter(i+2), s.letter(i+3)
	head = uint64(a) | uint64(b)<<16 | uint64(c)<<32 | uint64(d)<<48
	return head, e.filter.has(a, b, c, d, s.letter(i+4), s.letter(i+5), s.inside(i))
}

// narrow leaves the starts whose heads words have. It looks at all of them
// before any is looked at closely, so that what they wait for, they wait for
// together.
func (e *engine) narrow(s *scanner) {
	var kept uint64
	for starts := s.starts; starts != 0; starts &= starts - 1 {
		i := bits.TrailingZeros64(starts)
		_, has := e.heads(s, i)
		kept |= (has + 7) >> 3 << i
	}
	s.starts = kept
}

// inside is the mark of a letter that a word which begins as words do cannot
// begin at. Where the first run is several letters there are other places to
// begin.
func (s *scanner) inside(i int) uint64 {
	at := s.place[i]
	if at > 0 && i+1 < s.n && s.place[i+1] == at+1 && s.text[at-1] < utf8.RuneSelf && isWord[s.text[at-1]] {
		return inside
	}
	return 0
}

// enter finds what has a head; letter i is behind it.
func (e *engine) enter(s *scanner, i int, head uint64, out *found) {
	t := &e.trie
	root := t.root(head)
	if root == 0 {
		return
	}
	for n := &t.nodes[root]; ; {
		for _, c := range t.pool[n.label : n.label+uint32(n.size)] {
			if s.letter(i) != c {
				return
			}
			i++
		}
		if n.term != 0 {
			out.term[out.n] = n.term - 1
			out.n++
		}
		if n.kids == 0 {
			return
		}
		child := t.child(n, s.letter(i))
		if child == 0 {
			return
		}
		i++
		n = &t.nodes[child]
	}
}

// letter is the class of letter i, which may be beyond the window; 0: the text
// has ended.
func (s *scanner) letter(i int) uint16 {
	if i < s.n {
		return s.class[i&(window-1)]
	}
	return s.beyond(i)
}

// beyond is letter behind the window. Only what is all but found is looked up
// there.
func (s *scanner) beyond(i int) uint16 {
	prev := s.class[s.n-1]
	for at := s.at; at < len(s.text); {
		c, size := s.e.classOf(s.text, at, s.bmp)
		at += size
		if c == 0 || c == prev {
			continue
		}
		if i == s.n {
			return c
		}
		prev = c
		i--
	}
	return 0
}

// isWord are the letters and digits of ASCII.
var isWord = func() (set [utf8.RuneSelf]bool) {
	for r := range set {
		k := fold.KindOf(rune(r))
		set[r] = k == fold.Letter || k == fold.Digit
	}
	return set
}()
