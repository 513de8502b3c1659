package filter

import (
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

const (
	// maxInvisible bounds the characters without width between two letters of a
	// word: more are no evasion, but a page of noise.
	maxInvisible = 32
	// maxRun bounds the letters of one run that are looked at one by one; of a
	// longer run the first count for all.
	maxRun = 24
)

// letter is one letter of a run in a text, with what lies before it.
type letter struct {
	r       rune
	at, end int32
	gap     between
}

// between is what lies between two letters.
type between struct {
	symbols, invisible int16 // symbols: spaces included
	space              bool
}

// run is the letters of one class in a row.
type run struct {
	letters [maxRun]letter
	n       int
	end     int32 // behind the last letter, kept or not
}

// reader reads a text run by run.
type reader struct {
	e     *engine
	text  []byte
	bmp   *[1 << 16]uint16
	at    int
	gap   between // read before the letter at at
	after int32   // behind the letter before the gap
}

// read reads the letters of one class, up to where something stands between
// that no word has inside. In the first run of a match it goes on behind that:
// the match may begin there.
func (rd *reader) read(c uint16, out *run, first bool) {
	out.n = 0
	for rd.at < len(rd.text) {
		k, size := rd.e.classOf(rd.text, rd.at, rd.bmp)
		if k == 0 {
			rd.skip(size)
			continue
		}
		if k != c {
			return
		}
		if out.n > 0 && !rd.gap.crossable(0) {
			if !first {
				return
			}
			out.n = 0
		}
		if out.n == maxRun && first {
			copy(out.letters[:], out.letters[1:])
			out.n--
		}
		end := int32(rd.at + size)
		if out.n < maxRun {
			r, _ := utf8.DecodeRune(rd.text[rd.at:])
			out.letters[out.n] = letter{r: r, at: int32(rd.at), end: end, gap: rd.gap}
			out.n++
		}
		out.end, rd.after = end, end
		rd.at, rd.gap = int(end), between{}
	}
}

// fill reads on in a run whose end is known.
func (rd *reader) fill(out *run) {
	for out.n < maxRun && rd.at < int(out.end) {
		k, size := rd.e.classOf(rd.text, rd.at, rd.bmp)
		if k == 0 {
			rd.skip(size)
			continue
		}
		r, _ := utf8.DecodeRune(rd.text[rd.at:])
		out.letters[out.n] = letter{r: r, at: int32(rd.at), end: int32(rd.at + size), gap: rd.gap}
		out.n++
		rd.at, rd.gap = rd.at+size, between{}
	}
}

func (rd *reader) skip(size int) {
	r, _ := utf8.DecodeRune(rd.text[rd.at:])
	switch fold.KindOf(r) {
	case fold.Invisible:
		rd.gap.invisible = min(rd.gap.invisible+1, maxInvisible+1)
	case fold.Space:
		rd.gap.space = true
		rd.gap.symbols = min(rd.gap.symbols+1, 1<<10)
	default:
		rd.gap.symbols = min(rd.gap.symbols+1, 1<<10)
	}
	rd.at += size
}

// crossable says whether a word may go on over a gap in which it has so many
// symbols itself.
func (g between) crossable(own int) bool {
	return int(g.symbols) <= MaxGap+own && g.invisible <= maxInvisible
}

// spacing counts gaps between letters of alphabetic scripts.
type spacing struct{ with, without int }

func (s *spacing) add(g between) {
	if g.space {
		s.with++
	} else {
		s.without++
	}
}

// match is a pattern at work.
type match struct {
	p           pattern
	left, right bool // it begins, or ends, where a word does
	first, last run  // of the text
	mid         run
	spacing     spacing // of what lies between the first and the last run
	genuine     bool    // a letter there is itself, not a digit or symbol in its place
}

// closely appends where a pattern stands whose classes begin at a place. single
// says that there is one letter only with which it might begin.
func (e *engine) closely(dst []Span, text []byte, bmp *[1 << 16]uint16, at int32, p pattern, flags uint8, entry uint32) (_ []Span, single bool) {
	m := match{p: p, left: flags&metaLeft != 0, right: flags&metaRight != 0}
	before := len(dst)
	dst = m.all(dst, e, text, bmp, at, entry)
	return dst, len(dst) > before && m.first.n == 1
}

// all appends where the pattern stands whose classes begin at a place. It is
// once, but for a pattern of one run, which can stand several times in one run of
// the text.
func (m *match) all(dst []Span, e *engine, text []byte, bmp *[1 << 16]uint16, at int32, entry uint32) []Span {
	if m.p.runs() == 1 {
		return m.repeated(dst, e, text, bmp, at, entry)
	}
	if s, ok := m.verify(e, text, bmp, at); ok {
		s.Entry = entry
		dst = append(dst, s)
	}
	return dst
}

// verify says where exactly the pattern stands, which has several runs: as early
// and as long as it can be read.
func (m *match) verify(e *engine, text []byte, bmp *[1 << 16]uint16, at int32) (Span, bool) {
	rd := reader{e: e, text: text, bmp: bmp, at: int(at), after: at}
	m.spacing, m.genuine = spacing{}, false
	blocks, gaps := m.p.blocks, m.p.gaps
	if len(gaps) > 0 && gaps[0].run == 0 {
		gaps = gaps[1:] // looked at when it is known where the match begins
	}
	head := cutRun(&blocks)
	rd.read(head[0].class, &m.first, true)
	before := head[0].flags
	for i := uint16(1); ; i++ {
		tail := cutRun(&blocks)
		into := &m.mid
		if len(blocks) == 0 {
			into = &m.last
		}
		after := rd.after
		rd.read(tail[0].class, into, false)
		if into.n == 0 {
			return Span{}, false
		}
		g := into.letters[0].gap
		switch {
		case len(gaps) > 0 && gaps[0].run == i:
			if !g.crossable(int(gaps[0].size)) || !holds(text[after:into.letters[0].at], gaps[0].symbols) {
				return Span{}, false
			}
			gaps = gaps[1:]
		case !g.crossable(0):
			return Span{}, false
		case tail[0].flags&before&spacedOut != 0:
			m.spacing.add(g)
		}
		before = tail[0].flags
		if len(blocks) == 0 {
			return m.ends(text, head, tail)
		}
		if !split(tail, into.letters[:into.n]) {
			return Span{}, false
		}
		m.inside(tail, into.letters[:into.n])
	}
}

// cutRun cuts the blocks of the next run off.
func cutRun(blocks *[]block) []block {
	n := 1
	for n < len(*blocks) && (*blocks)[n].flags&opens == 0 {
		n++
	}
	own := (*blocks)[:n]
	*blocks = (*blocks)[n:]
	return own
}

// inside takes in the letters of a run that stand for its blocks.
func (m *match) inside(own []block, letters []letter) {
	for i := range letters {
		if i > 0 && own[0].flags&spacedOut != 0 && !(letters[i].gap.space && interiors(own)) {
			m.spacing.add(letters[i].gap)
		}
		m.genuine = m.genuine || genuine(own, letters[i].r)
	}
}

func interiors(own []block) bool {
	for i := range own {
		if own[i].flags&interior != 0 {
			return true
		}
	}
	return false
}

// genuine says whether a letter of a text is what it stands for, not a digit or
// symbol in its place.
func genuine(own []block, r rune) bool {
	if own[0].flags&alone != 0 {
		return true
	}
	for i := range own {
		if ok, leet := fold.StandsFor(r, own[i].letter); ok && !leet {
			return true
		}
	}
	return false
}

// split says whether letters can be cut into parts that stand for the blocks,
// one after the other.
func split(own []block, letters []letter) bool {
	if len(own) == 1 {
		b := &own[0]
		if !b.fits(len(letters)) {
			return false
		}
		if b.flags&alone != 0 {
			return true
		}
		for i := range letters {
			if ok, _ := fold.StandsFor(letters[i].r, b.letter); !ok {
				return false
			}
		}
		return true
	}
	reach := uint32(1) // bit i: the blocks so far can end before letter i
	for j := range own {
		var next uint32
		for from := range len(letters) + 1 {
			if reach>>from&1 == 0 {
				continue
			}
			for to := from; to <= len(letters); to++ {
				if to > from {
					if ok, _ := fold.StandsFor(letters[to-1].r, own[j].letter); !ok {
						break
					}
				}
				if to > from && own[j].fits(to-from) {
					next |= 1 << to
				}
			}
		}
		reach = next
	}
	return reach>>len(letters)&1 != 0
}

// ends finds where in its first run the match begins and where in its last one
// it ends: at ends of words where the rule asks for it.
func (m *match) ends(text []byte, head, tail []block) (Span, bool) {
	f, l := &m.first, &m.last
	spacing, real := m.spacing, m.genuine
	for a := range f.n {
		if !m.begins(text, f.letters[a].at) || !split(head, f.letters[a:f.n]) {
			continue
		}
		for b := l.n; b > 0; b-- {
			end, ok := m.stops(text, l, b)
			if !ok || !split(tail, l.letters[:b]) {
				continue
			}
			m.spacing, m.genuine = spacing, real
			m.inside(head, f.letters[a:f.n])
			m.inside(tail, l.letters[:b])
			if m.reads() {
				return Span{Start: f.letters[a].at, End: end}, true
			}
		}
	}
	return Span{}, false
}

// repeated is all for a pattern of one run.
func (m *match) repeated(dst []Span, e *engine, text []byte, bmp *[1 << 16]uint16, at int32, entry uint32) []Span {
	rd := reader{e: e, text: text, bmp: bmp, at: int(at), after: at}
	f := &m.first
	for {
		rd.read(m.p.blocks[0].class, f, false)
		if f.n == 0 {
			return dst
		}
		more := reader{e: e, text: text, bmp: bmp, at: int(f.letters[f.n-1].end)}
		for f.n > 0 {
			s, b, ok := m.alone(text)
			if !ok {
				break
			}
			s.Entry = entry
			dst = append(dst, s)
			if b == f.n {
				break
			}
			f.n = copy(f.letters[:], f.letters[b:f.n])
			more.fill(f)
		}
	}
}

// alone finds the pattern among the letters of the first run, and behind which
// of them it ends.
func (m *match) alone(text []byte) (s Span, b int, ok bool) {
	f, own := &m.first, m.p.blocks
	for a := range f.n {
		if !m.begins(text, f.letters[a].at) {
			continue
		}
		for b := f.n; b > a; b-- {
			if len(own) == 1 && !own[0].fits(b-a) {
				continue
			}
			end, ok := m.stops(text, f, b)
			if !ok || !split(own, f.letters[a:b]) {
				continue
			}
			m.spacing, m.genuine = spacing{}, false
			m.inside(own, f.letters[a:b])
			if m.reads() {
				return Span{Start: f.letters[a].at, End: end}, b, true
			}
		}
	}
	return Span{}, 0, false
}

// begins says whether the match may begin with the letter at a place.
func (m *match) begins(text []byte, at int32) bool {
	if g := m.p.gaps; len(g) > 0 && g[0].run == 0 && !endsWith(text[:at], g[0].symbols) {
		return false
	}
	return !m.left || startsWord(text, int(at))
}

// stops says whether the match may end with letter b-1 of its last run, and
// where.
func (m *match) stops(text []byte, l *run, b int) (end int32, ok bool) {
	end = l.letters[b-1].end
	if b == l.n {
		end = l.end
	}
	if n := len(m.p.gaps); n > 0 && int(m.p.gaps[n-1].run) == m.p.runs() {
		symbols := m.p.gaps[n-1].symbols
		to := end + int32(len(symbols))
		return to, int(to) <= len(text) && endsWith(text[:to], symbols)
	}
	return end, !m.right || endsWord(text, int(end))
}

// endsWith does not make a string of the text, as strings.HasSuffix would.
func endsWith(text []byte, symbols string) bool {
	return len(text) >= len(symbols) && string(text[len(text)-len(symbols):]) == symbols
}

// reads says whether what was found reads as the word: with spaces between all
// of its letters or none, and not in digits and symbols only.
func (m *match) reads() bool {
	return m.genuine && (m.spacing.with == 0 || m.spacing.without == 0)
}

// holds says whether all symbols are in a gap, in their order.
func holds(gap []byte, symbols string) bool {
	for _, want := range symbols {
		for {
			if len(gap) == 0 {
				return false
			}
			r, size := utf8.DecodeRune(gap)
			gap = gap[size:]
			if r == want {
				break
			}
		}
	}
	return true
}

func startsWord(text []byte, at int) bool {
	for at > 0 {
		r, size := utf8.DecodeLastRune(text[:at])
		switch fold.KindOf(r) {
		case fold.Invisible:
			at -= size
			continue
		case fold.Letter, fold.Digit:
			return false
		default:
			return true
		}
	}
	return true
}

func endsWord(text []byte, at int) bool {
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		switch fold.KindOf(r) {
		case fold.Invisible:
			at += size
			continue
		case fold.Letter, fold.Digit:
			return false
		default:
			return true
		}
	}
	return true
}
