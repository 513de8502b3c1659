package filter

// Matches are all matches of the words that the filter's engine finds.
func (f *Filter) Matches(text []byte) []Span {
	return Ordered(f.words.collect(nil, text, wanted{f: f}))
}

// Tried are the matches that the engine's close look (match.verify) finds when it
// is asked at the beginning of every run of letters, for every word whose
// classes stand there: what an engine finds that misses no place.
func (f *Filter) Tried(text []byte) []Span {
	spans := f.tried(nil, text)
	if first := twoFaced(text); first >= 0 {
		spans = f.tried(spans, asLatin(nil, text, first))
	}
	return Ordered(f.words.symbols.collect(spans, text, wanted{f: f}))
}

func (f *Filter) tried(spans []Span, text []byte) []Span {
	m := &f.words
	read := []*[1 << 16]uint16{m.engine.plain}
	if len(readings(text)) > 1 {
		read = append(read, m.engine.leet)
	}
	for pass, classOf := range readings(text) {
		letters := naiveLetters(text, classOf)
		for i := 0; i < len(letters); i = runEnd(letters, i) {
			for at := uint32(0); int(at) < len(m.patterns); {
				of, p := m.owner(at)
				at += 1 + uint32(of.class)
				if beginWith(letters[i:], p.classes()) {
					spans, _ = m.engine.closely(spans, text, read[pass], int32(letters[i].at), p, of.flags, uint32(of.letter))
				}
			}
		}
	}
	return spans
}

func beginWith(letters []naiveLetter, classes []uint16) bool {
	for _, c := range classes {
		if len(letters) == 0 || letters[0].class != c {
			return false
		}
		letters = letters[runEnd(letters, 0):]
	}
	return true
}
