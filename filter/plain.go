package filter

import (
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

// plainly says whether a pattern stands at a place with all letters of its runs,
// and where it ends. It is a shortcut for what is mostly found: whoever gets
// false from it has to look closely. What it finds begins with the first letter
// of its run and ends with the last one, so nothing begins earlier or ends later.
// single says that the first run is one letter.
func (e *engine) plainly(text []byte, bmp *[1 << 16]uint16, start int32, p pattern, flags uint8) (end int32, single, ok bool) {
	blocks, gaps := p.blocks, p.gaps
	if len(blocks) < 2 || len(gaps) > 0 && gaps[0].run == 0 || flags&metaLeft != 0 && !startsWord(text, int(start)) {
		return 0, false, false
	}
	rd := plainReader{reader: reader{e: e, text: text, bmp: bmp, at: int(start), after: start}}
	if len(gaps) == 0 {
		if at, ok := e.bare(text, bmp, int(start), blocks); ok {
			rd.at = at
			if rd.goesOn(blocks[len(blocks)-1].class) || flags&metaRight != 0 && !endsWord(text, at) {
				return 0, false, false
			}
			return int32(at), lone(blocks), true
		}
	}
	runs, before := uint16(0), uint8(0)
	for i := range blocks {
		b := &blocks[i]
		r, class, size := rd.letter()
		if class != b.class {
			return 0, false, false
		}
		switch {
		case i == 0:
		case b.flags&opens == 0:
			ok = rd.inRun(b)
		case len(gaps) > 0 && gaps[0].run == runs:
			ok = rd.gap.crossable(int(gaps[0].size)) && holds(text[rd.after:rd.at], gaps[0].symbols)
			gaps = gaps[1:]
		default:
			ok = rd.gap.crossable(0)
			if b.flags&before&spacedOut != 0 {
				rd.spaces.add(rd.gap)
			}
		}
		if i > 0 && !ok || !rd.take(b, r, size) {
			return 0, false, false
		}
		n := rd.rest(b, b.flags&opens != 0 && (i+1 == len(blocks) || blocks[i+1].flags&opens != 0))
		if n == 0 {
			return 0, false, false
		}
		if i == 0 {
			single = n == 1 && blocks[1].flags&opens != 0
		}
		runs, before = runs+uint16(b.flags&opens), b.flags
	}
	end = rd.after
	if !rd.genuine || len(gaps) > 0 || runs < 2 || rd.spaces.with > 0 && rd.spaces.without > 0 {
		return 0, false, false
	}
	return end, single, !rd.goesOn(blocks[len(blocks)-1].class) && (flags&metaRight == 0 || endsWord(text, int(end)))
}

// lone says whether the first run of a pattern is one letter.
func lone(blocks []block) bool { return blocks[0].count == 1 && blocks[1].flags&opens != 0 }

// plainReader reads a text letter by letter.
type plainReader struct {
	reader
	spaces  spacing
	genuine bool
}

// take takes the letter in that was read, if it stands for a block's.
func (rd *plainReader) take(b *block, r rune, size int) bool {
	if b.flags&alone != 0 || r == b.letter {
		rd.genuine = true
	} else {
		ok, leet := fold.StandsFor(r, b.letter)
		if !ok {
			return false
		}
		rd.genuine = rd.genuine || !leet
	}
	rd.at += size
	rd.after, rd.gap = int32(rd.at), between{}
	return true
}

// inRun takes the gap in that lies inside a run.
func (rd *plainReader) inRun(b *block) bool {
	if !rd.gap.crossable(0) || b.flags&interior != 0 && rd.gap.space {
		return false
	}
	if b.flags&spacedOut != 0 {
		rd.spaces.add(rd.gap)
	}
	return true
}

// rest takes in the further letters of a block: as many as it has, or, if it is
// all of its run, as many as the run has. 0: they do not fit.
func (rd *plainReader) rest(b *block, whole bool) (n int) {
	n = 1
	for whole || n < int(b.count) {
		r, class, size := rd.letter()
		if class != b.class || whole && !rd.gap.crossable(0) {
			break // if this is not the last run, what comes next sees that it cannot
		}
		if n++; n > maxRun || !rd.inRun(b) || !rd.take(b, r, size) {
			return 0
		}
	}
	if !b.fits(n) {
		return 0
	}
	return n
}

// bare is plainly for letters with nothing between them, all of which are
// themselves, or their capitals. Their run may go on.
func (e *engine) bare(text []byte, bmp *[1 << 16]uint16, at int, blocks []block) (end int, ok bool) {
	opened := uint8(0)
	for i := range blocks {
		b := &blocks[i]
		for range b.count {
			var r rune
			var size int
			switch {
			case at < len(text) && text[at] < utf8.RuneSelf:
				r, size = rune(text[at]), 1
				if r >= 'A' && r <= 'Z' {
					r += 'a' - 'A'
				}
			case at+2 < len(text) && text[at]>>4 == 0xe && text[at] != 0xe0 && text[at+1]>>6 == 2 && text[at+2]>>6 == 2:
				r, size = rune(text[at]&0xf)<<12|rune(text[at+1]&0x3f)<<6|rune(text[at+2]&0x3f), 3
			default:
				return 0, false
			}
			if r != b.letter && (b.flags&alone == 0 || bmp[uint16(r)] != b.class) {
				return 0, false
			}
			at += size
		}
		opened += b.flags & opens
	}
	return at, opened > 1
}

// letter skips to the next letter and stays there; class is 0 at the end of the
// text, and where more lies before it than a word may have inside.
func (rd *reader) letter() (r rune, class uint16, size int) {
	for rd.at < len(rd.text) {
		if b := rd.text[rd.at]; b < utf8.RuneSelf {
			r, class, size = rune(b), rd.bmp[b], 1
			if class == symbol {
				class = 0
			}
		} else {
			r, size = utf8.DecodeRune(rd.text[rd.at:])
			if r < 1<<16 {
				class = rd.bmp[uint16(r)]
			} else {
				class = rd.e.wide(r)
			}
		}
		if class != 0 {
			return r, class, size
		}
		rd.skip(size)
		if !rd.gap.crossable(MaxWordRunes) {
			return 0, 0, 0
		}
	}
	return 0, 0, 0
}

// goesOn says whether the run of a class that was read goes on.
func (rd *reader) goesOn(class uint16) bool {
	_, next, _ := rd.letter()
	return next == class && rd.gap.crossable(0)
}
