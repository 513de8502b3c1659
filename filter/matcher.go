package filter

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Names of the engines.
const (
	folded     = "folded"
	cloudflare = "cloudflare"
)

// A matcher is an engine and the patterns that it looks for.
type matcher struct {
	count  int // patterns
	engine *engine
	small  *smallEngine // in place of engine; nil: none
	// patterns are those of the engine's sequences, one behind the other: what
	// confirms a find lies together. Of sequence i they are from at[i] to
	// at[i+1].
	patterns []block
	at       []uint32
	gaps     map[uint32][]gap // of the few patterns that have any, by place in patterns
	symbols  symbolWords      // words without a letter
}

// owned is the block before the blocks of a pattern: how many there are, and
// what its entry says.
func owned(entry uint32, m *meta, blocks int) block {
	return block{letter: rune(entry), class: uint16(blocks), count: m.severity, flags: m.flags}
}

// builder gathers the patterns of a matcher.
type builder struct {
	sequences [][]uint16
	left      []bool // pattern begins where a word does
	entry     []uint32
	blocks    []block
	first     []uint32 // blocks[first[i]:first[i+1]] are those of pattern i
	gaps      map[int][]gap
	symbols   []symbolWord
}

func (b *builder) add(entry uint32, p pattern, e *Entry) {
	if len(p.blocks) == 0 {
		b.symbols = append(b.symbols, symbolWord{visibleRunes(e.Word), entry})
		return
	}
	if len(p.gaps) > 0 {
		if b.gaps == nil {
			b.gaps = make(map[int][]gap)
		}
		b.gaps[len(b.sequences)] = p.gaps
		p.blocks[0].flags |= gapped
	}
	b.sequences = append(b.sequences, p.classes())
	b.left = append(b.left, e.Left)
	b.entry = append(b.entry, entry)
	b.first = append(b.first, uint32(len(b.blocks)))
	b.blocks = append(b.blocks, p.blocks...)
}

func (b *builder) build(engine string, r *rules, c *classes) (matcher, error) {
	m := matcher{count: len(b.entry) + len(b.symbols)}
	var err error
	if m.symbols, err = newSymbolWords(b.symbols); err != nil {
		return matcher{}, err
	}
	switch engine {
	case "":
		if suitsSmall(b.sequences) {
			m.small, err = newSmallEngine(b.sequences)
		}
	case cloudflare:
		m.small, err = newSmallEngine(b.sequences)
	case folded:
	default:
		err = fmt.Errorf("engine %.40q: use %s, %s, or none to choose by size", engine, folded, cloudflare)
	}
	switch {
	case err != nil:
		return matcher{}, err
	case m.small == nil:
		m.engine = newEngine(b.sequences, b.left, c)
		b.place(&m, m.engine.first, m.engine.owners, r)
		m.engine.first, m.engine.owners = nil, nil
	default:
		m.engine = newEngine(nil, nil, c) // it knows the classes
		b.place(&m, m.small.first, m.small.owners, r)
		m.small.first, m.small.owners = nil, nil
	}
	return m, nil
}

// place puts the patterns into the order of their sequences.
func (b *builder) place(m *matcher, first, owners []uint32, r *rules) {
	b.first = append(b.first, uint32(len(b.blocks)))
	m.patterns = make([]block, 0, len(b.blocks)+len(owners))
	m.at = make([]uint32, 0, len(first))
	for i := 1; i < len(first); i++ {
		m.at = append(m.at, uint32(len(m.patterns)))
		for _, p := range owners[first[i-1]:first[i]] {
			if g := b.gaps[int(p)]; g != nil {
				if m.gaps == nil {
					m.gaps = make(map[uint32][]gap)
				}
				m.gaps[uint32(len(m.patterns))] = g
			}
			blocks := b.blocks[b.first[p]:b.first[p+1]]
			m.patterns = append(m.patterns, owned(b.entry[p], &r.meta[b.entry[p]], len(blocks)))
			m.patterns = append(m.patterns, blocks...)
		}
	}
	m.at = append(m.at, uint32(len(m.patterns)))
}

// owner is pattern at a place of patterns, its first block being owned.
func (m *matcher) owner(at uint32) (of block, p pattern) {
	of = m.patterns[at]
	p.blocks = m.patterns[at+1:][:of.class]
	if p.blocks[0].flags&gapped != 0 {
		p.gaps = m.gaps[at]
	}
	return of, p
}

func (m *matcher) name() string {
	if m.small != nil {
		return cloudflare
	}
	return folded
}

func (m *matcher) bytes() int {
	n := 8*len(m.patterns) + 4*len(m.at)
	if m.engine != nil {
		n += m.engine.bytes()
	}
	if m.small != nil {
		n += m.small.bytes()
	}
	for _, g := range m.gaps {
		n += 64 + 32*len(g)
	}
	return n + m.symbols.bytes()
}

// wanted says which matches are.
type wanted struct {
	f        *Filter
	severity uint8
	longest  bool // at each place the longest only
}

// collect appends matches: at every place all that are wanted, or the longest.
func (m *matcher) collect(dst []Span, text []byte, w wanted) []Span {
	if m.count == 0 {
		return dst
	}
	dst = m.read(dst, text, w)
	if first := twoFaced(text); first >= 0 {
		latin := latinTexts.Get().(*[]byte)
		*latin = asLatin(*latin, text, first)
		dst = m.read(dst, *latin, w)
		latinTexts.Put(latin)
	}
	return m.symbols.collect(dst, text, w)
}

// read is collect for one way to read the text.
func (m *matcher) read(dst []Span, text []byte, w wanted) []Span {
	if m.small != nil {
		return m.collectSmall(dst, text, w)
	}
	var s scanner
	s.begin(m.engine, text, m.engine.plain)
	dst = m.pass(dst, &s, w)
	if s.leet && beside(text, m.engine.plain) {
		s.begin(m.engine, text, m.engine.leet)
		dst = m.pass(dst, &s, w)
	}
	return dst
}

// pass is one walk over the text.
func (m *matcher) pass(dst []Span, s *scanner, w wanted) []Span {
	var f found
	for s.next() {
		for starts := s.starts; starts != 0; starts &= starts - 1 {
			i := bits.TrailingZeros64(starts)
			m.engine.look(s, i, &f)
			if f.n > 0 {
				dst = m.confirm(dst, s.text, s.bmp, s.place[i], &f, w)
			}
		}
	}
	return dst
}

// confirm looks closely at what was found.
func (m *matcher) confirm(dst []Span, text []byte, bmp *[1 << 16]uint16, at int32, f *found, w wanted) []Span {
	for i := f.n - 1; i >= 0; i-- {
		before, single := len(dst), false
		next, end := m.at[f.term[i]], m.at[f.term[i]+1]
		for next < end {
			of, p := m.owner(next)
			next += 1 + uint32(of.class)
			if of.count < w.severity && of.flags&metaAllow == 0 {
				continue
			}
			entry := uint32(of.letter)
			end, one, ok := m.engine.plainly(text, bmp, at, p, of.flags)
			if ok {
				dst = append(dst, Span{Start: at, End: end, Entry: entry})
			} else {
				dst, one = m.engine.closely(dst, text, bmp, at, p, of.flags, entry)
			}
			single = single || one
		}
		if w.longest && single && dst[before].Start == at {
			break // what is shorter begins there too: in a run of several letters it may begin with a later one
		}
	}
	return dst
}

func sortSpans(spans []Span) {
	for i := 1; i < len(spans); i++ { // they mostly come in order
		if orderSpans(spans[i-1], spans[i]) > 0 {
			slices.SortFunc(spans, orderSpans)
			return
		}
	}
}

func orderSpans(a, b Span) int {
	switch {
	case a.Start != b.Start:
		return int(a.Start) - int(b.Start)
	case a.End != b.End:
		return int(b.End) - int(a.End)
	default:
		return cmp.Compare(a.Entry, b.Entry)
	}
}
