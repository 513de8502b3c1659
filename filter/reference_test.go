package filter

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter/fold"
)

// Reference is the reference that the engines are held to: it tries every word at
// every letter of a text and checks the rules as they are written down, slowly.
// It shares nothing with the engines but package fold and the constants of the
// rules.
type Reference struct {
	entries                []Entry
	words, allowed, sounds []naiveWord
}

// naiveWord is a word by its runs: letters of one class in a row.
type naiveWord struct {
	entry    uint32
	e        *Entry
	runs     []naiveRun
	trailing string // symbols behind the last letter; all of a word without letters
	stands   func(r, p rune) (ok, leet bool)
}

type naiveRun struct {
	class    uint16
	blocks   []naiveBlock
	gap      bool   // the word has symbols or spaces before the run
	symbols  string // without spaces
	size     int
	interior bool // it has symbols or spaces inside the run
	spaced   bool // of a script that puts spaces between words
}

type naiveBlock struct {
	letter       rune
	count        int
	exact, loose bool
}

// naiveLetter is a letter of a text with what was skipped before it.
type naiveLetter struct {
	r                  rune
	class              uint16
	at, end            int
	symbols, invisible int
	space              bool
}

// NewReference takes entries that Compile took.
func NewReference(entries []Entry) *Reference {
	n := &Reference{entries: entries}
	for i := range entries {
		w := newNaiveWord(uint32(i), &entries[i])
		if entries[i].Allow {
			n.allowed = append(n.allowed, w)
			continue
		}
		n.words = append(n.words, w)
		if entries[i].Strict {
			if w, ok := newNaiveSound(uint32(i), &entries[i]); ok {
				n.sounds = append(n.sounds, w)
			}
		}
	}
	return n
}

func newNaiveWord(entry uint32, e *Entry) naiveWord {
	w := naiveWord{entry: entry, e: e, stands: fold.StandsFor}
	letters, held, symbols := 0, 0, ""
	for _, r := range e.Word {
		f := fold.Fine(r)
		if f == 0 {
			switch fold.KindOf(r) {
			case fold.Invisible:
			case fold.Space:
				held++
			default:
				held++
				symbols += string(r)
			}
			continue
		}
		letters++
		if len(w.runs) == 0 && symbols == "" {
			held = 0 // spaces before a word mean nothing
		}
		w.add(f, held, symbols)
		held, symbols = 0, ""
	}
	w.trailing = symbols
	for i := range w.runs {
		for k := range w.runs[i].blocks {
			b := &w.runs[i].blocks[k]
			b.exact = fold.KindOf(b.letter) == fold.Digit
			b.loose = fold.KindOf(b.letter) == fold.Ideograph || letters >= shortWord && !b.exact
		}
	}
	return w
}

func (w *naiveWord) add(f rune, held int, symbols string) {
	class := fold.Coarse(f)
	if len(w.runs) == 0 || w.runs[len(w.runs)-1].class != class {
		w.runs = append(w.runs, naiveRun{
			class: class, gap: held > 0, symbols: symbols, size: held,
			spaced: fold.KindOf(f) != fold.Ideograph, blocks: []naiveBlock{{letter: f, count: 1}},
		})
		return
	}
	run := &w.runs[len(w.runs)-1]
	run.interior = run.interior || held > 0
	if last := &run.blocks[len(run.blocks)-1]; last.letter == f {
		last.count = min(last.count+1, maxRun)
	} else {
		run.blocks = append(run.blocks, naiveBlock{letter: f, count: 1})
	}
}

func newNaiveSound(entry uint32, e *Entry) (naiveWord, bool) {
	w := naiveWord{entry: entry, e: e, stands: func(r, p rune) (bool, bool) { return rune(fold.Syllable(r)) == p, false }}
	for _, r := range e.Word {
		s := fold.Syllable(r)
		if s == 0 {
			return w, false
		}
		if len(w.runs) > 0 && w.runs[len(w.runs)-1].class == s {
			w.runs[len(w.runs)-1].blocks[0].count++ // bounded by the length of words
			continue
		}
		w.runs = append(w.runs, naiveRun{class: s, blocks: []naiveBlock{{letter: rune(s), count: 1, loose: true}}})
	}
	return w, true
}

func naiveLetters(text []byte, classOf func(rune) uint16) []naiveLetter {
	var letters []naiveLetter
	var next naiveLetter
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if c := classOf(r); c != 0 {
			next.r, next.class, next.at, next.end = r, c, at, at+size
			letters = append(letters, next)
			next = naiveLetter{}
		} else {
			switch fold.KindOf(r) {
			case fold.Invisible:
				next.invisible++
			case fold.Space:
				next.symbols++
				next.space = true
			default:
				next.symbols++
			}
		}
		at += size
	}
	return letters
}

func plainClass(r rune) uint16 {
	if fold.LeetSymbol(r) {
		return 0
	}
	return fold.Coarse(r)
}

func soundClass(r rune) uint16 {
	switch s := fold.Syllable(r); {
	case s != 0:
		return s
	case fold.Coarse(r) == 0 || fold.LeetSymbol(r):
		return 0
	default:
		return other
	}
}

// readings are the ways in which a text is read: with the symbols of leetspeak
// skipped, and, if one may be meant as a letter, with them as letters.
func readings(text []byte) []func(rune) uint16 {
	ascii := func(at int) bool {
		return at >= 0 && at < len(text) && text[at] < utf8.RuneSelf && fold.Coarse(rune(text[at])) != 0
	}
	for at, b := range text {
		if b < utf8.RuneSelf && fold.LeetSymbol(rune(b)) && (ascii(at+1) || (b == '$' || b == '@') && ascii(at-1)) {
			return []func(rune) uint16{plainClass, fold.Coarse}
		}
	}
	return []func(rune) uint16{plainClass}
}

// runEnd is where the letters from i on are of another class.
func runEnd(letters []naiveLetter, i int) int {
	end := i
	for end < len(letters) && letters[end].class == letters[i].class {
		end++
	}
	return end
}

func (l *naiveLetter) crossable(own int) bool {
	return l.symbols <= MaxGap+own && l.invisible <= maxInvisible
}

// stretchEnd is where a gap comes between the letters from i on, before end,
// over which no word goes.
func stretchEnd(letters []naiveLetter, i, end int) int {
	for k := i + 1; k < end; k++ {
		if !letters[k].crossable(0) {
			return k
		}
	}
	return end
}

// allMatches are the matches of words in a text, by place, each once.
func allMatches(words []naiveWord, text []byte, read []func(rune) uint16, minSeverity uint8) []Span {
	spans := readMatches(words, text, read, minSeverity)
	latin := strings.NewReplacer("\u039d", "\u0144", "\u0397", "\u0125", "\u03a5", "\u00fd").Replace(string(text))
	if latin != string(text) {
		spans = Ordered(append(spans, readMatches(words, []byte(latin), readings([]byte(latin)), minSeverity)...))
	}
	return spans
}

// readMatches is allMatches for one way to read capitals of Greek.
func readMatches(words []naiveWord, text []byte, read []func(rune) uint16, minSeverity uint8) []Span {
	var spans []Span
	for _, classOf := range read {
		letters := naiveLetters(text, classOf)
		for i := 0; i < len(letters); i = runEnd(letters, i) {
			for k := range words {
				if w := &words[k]; len(w.runs) > 0 && (w.e.Allow || w.e.Severity >= minSeverity) {
					spans = w.from(spans, text, letters, i)
				}
			}
		}
	}
	for k := range words {
		w := &words[k]
		if len(w.runs) > 0 || !w.e.Allow && w.e.Severity < minSeverity {
			continue
		}
		for at := range text {
			if !utf8.RuneStart(text[at]) {
				continue
			}
			if end, ok := signsAt(string(text[at:]), w.e.Word); ok {
				spans = append(spans, Span{int32(at), int32(at + end), w.entry})
			}
		}
	}
	return Ordered(spans)
}

// signsAt says whether a word of symbols stands at the beginning of a text. What
// cannot be seen does not count in the word; in the text it does not count
// between two symbols.
func signsAt(text, word string) (end int, ok bool) {
	word = strings.Map(func(r rune) rune {
		if fold.KindOf(r) == fold.Invisible {
			return -1
		}
		return r
	}, word)
	hidden := 0
	for at := 0; at < len(text); {
		want, wanted := utf8.DecodeRuneInString(word)
		r, size := utf8.DecodeRuneInString(text[at:])
		at += size
		switch {
		case r == want && (r != utf8.RuneError || size == wanted):
			if word, hidden = word[wanted:], 0; word == "" {
				return at, true
			}
		case at > size && fold.KindOf(r) == fold.Invisible && hidden < maxInvisible:
			hidden++
		default:
			return 0, false
		}
	}
	return 0, false
}

// Ordered puts spans in order, each once.
func Ordered(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Entry, b.Entry))
	})
	return slices.Compact(spans)
}

// from appends where the word stands that begins in the run at letter i: as
// early and there as long as possible. A word of one run may stand there again.
func (w *naiveWord) from(spans []Span, text []byte, letters []naiveLetter, i int) []Span {
	for k, at := 0, i; k < len(w.runs); k++ {
		if at >= len(letters) || letters[at].class != w.runs[k].class {
			return spans
		}
		at = runEnd(letters, at)
	}
	end := runEnd(letters, i)
	if len(w.runs) > 1 {
		begin := i // behind the last gap that cannot be crossed
		for s := stretchEnd(letters, i, end); s < end; s = stretchEnd(letters, s, end) {
			begin = s
		}
		for a := max(begin, end-maxRun); a < end; a++ {
			if to, ok := w.at(text, letters, a, end); ok {
				return append(spans, Span{int32(letters[a].at), int32(to), w.entry})
			}
		}
		return spans
	}
	for from := i; from < end; {
		stop := stretchEnd(letters, from, end)
		if a, b, to := w.alone(text, letters, from, stop); b > 0 {
			spans = append(spans, Span{int32(letters[a].at), int32(to + len(w.trailing)), w.entry})
			from = b
		} else {
			from = stop
		}
	}
	return spans
}

// alone finds the first match of a word of one run among letters from to stop,
// there the longest: letters a to b. b is 0 if there is none.
func (w *naiveWord) alone(text []byte, letters []naiveLetter, from, stop int) (a, b, to int) {
	kept := min(stop, from+maxRun)
	for a := from; a < kept; a++ {
		for b := kept; b > a; b-- {
			last := b
			if b == kept {
				last = stop // the first letters of a long run count for all
			}
			to := letters[last-1].end
			if w.reads(text, letters, a, to, [][]naiveLetter{letters[a:b]}) {
				return a, last, to
			}
		}
	}
	return 0, 0, 0
}

// at finds the longest match that begins with letter a and goes on behind the
// run that ends at end.
func (w *naiveWord) at(text []byte, letters []naiveLetter, a, end int) (to int, ok bool) {
	parts := [][]naiveLetter{letters[a:end]}
	at := end
	for k := 1; k < len(w.runs); k++ {
		run := &w.runs[k]
		own := 0
		if run.gap {
			own = run.size
			if !hasInOrder(string(text[letters[at-1].end:letters[at].at]), run.symbols) {
				return 0, false
			}
		}
		if !letters[at].crossable(own) {
			return 0, false
		}
		stop := runEnd(letters, at)
		stretch := stretchEnd(letters, at, stop)
		kept := min(stretch, at+maxRun)
		if k < len(w.runs)-1 {
			if stretch < stop {
				return 0, false
			}
			parts = append(parts, letters[at:kept])
			at = stop
			continue
		}
		for b := kept; b > at; b-- {
			to := letters[b-1].end
			if b == kept {
				to = letters[stretch-1].end
			}
			if w.reads(text, letters, a, to, append(slices.Clip(parts), letters[at:b])) {
				return to + len(w.trailing), true
			}
		}
	}
	return 0, false
}

func hasInOrder(in, symbols string) bool {
	for _, s := range symbols {
		i := strings.IndexRune(in, s)
		if i < 0 {
			return false
		}
		in = in[i+utf8.RuneLen(s):]
	}
	return true
}

// reads checks the rules for letters that are cut into the word's runs, the
// first of which is letter a, and that end at a place.
func (w *naiveWord) reads(text []byte, letters []naiveLetter, a, end int, parts [][]naiveLetter) bool {
	at := letters[a].at
	if !strings.HasSuffix(string(text[:at]), w.runs[0].symbols) || !strings.HasPrefix(string(text[end:]), w.trailing) {
		return false
	}
	if w.e.Left && wordGoesOn(text[:at], utf8.DecodeLastRune, false) {
		return false
	}
	if w.e.Right && w.trailing == "" && wordGoesOn(text[end:], utf8.DecodeRune, true) {
		return false
	}
	with, without, genuine := 0, 0, false
	count := func(l *naiveLetter) {
		if l.space {
			with++
		} else {
			without++
		}
	}
	for k, part := range parts {
		run := &w.runs[k]
		if !cut(run.blocks, part, w.stands) {
			return false
		}
		if k > 0 && !run.gap && run.spaced && w.runs[k-1].spaced {
			count(&part[0])
		}
		for i := range part {
			if i > 0 && run.spaced && (!part[i].space || !run.interior) {
				count(&part[i])
			}
			for _, b := range run.blocks {
				ok, leet := w.stands(part[i].r, b.letter)
				genuine = genuine || ok && !leet
			}
		}
	}
	return genuine && (with == 0 || without == 0)
}

// wordGoesOn says whether a letter or digit is next, characters without width
// left out.
func wordGoesOn(text []byte, decode func([]byte) (rune, int), ahead bool) bool {
	for len(text) > 0 {
		r, size := decode(text)
		if k := fold.KindOf(r); k != fold.Invisible {
			return k == fold.Letter || k == fold.Digit
		}
		if ahead {
			text = text[size:]
		} else {
			text = text[:len(text)-size]
		}
	}
	return false
}

// cut says whether letters can be cut into parts that stand for the blocks.
func cut(blocks []naiveBlock, letters []naiveLetter, stands func(r, p rune) (bool, bool)) bool {
	if len(blocks) == 0 {
		return len(letters) == 0
	}
	b := blocks[0]
	for n := 1; n <= len(letters); n++ {
		if ok, _ := stands(letters[n-1].r, b.letter); !ok {
			return false
		}
		fits := n == b.count || n > b.count && !b.exact && (b.loose || n >= 3)
		if fits && cut(blocks[1:], letters[n:], stands) {
			return true
		}
	}
	return false
}

// Matches are all matches of the words, overlapping ones too.
func (n *Reference) Matches(text []byte) []Span { return allMatches(n.words, text, readings(text), 0) }

func (n *Reference) uncovered(spans []Span, text []byte) (kept []Span) {
	allowed := allMatches(n.allowed, text, readings(text), 0)
	for _, s := range spans {
		if !slices.ContainsFunc(allowed, func(a Span) bool { return a.Start <= s.Start && s.End <= a.End }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// Scan is what Filter.Scan promises.
func (n *Reference) Scan(text []byte) []Span { return n.choose(n.Matches(text), text) }

func (n *Reference) choose(matches []Span, text []byte) (kept []Span) {
	for _, s := range n.uncovered(matches, text) {
		if len(kept) == 0 || s.Start >= kept[len(kept)-1].End {
			kept = append(kept, s)
		}
	}
	return kept
}

// Judge is what Filter.Judge promises, but for which of equal entries it names.
func (n *Reference) Judge(text []byte, minSeverity uint8) (v Verdict) {
	for _, s := range n.uncovered(allMatches(n.words, text, readings(text), minSeverity), text) {
		e := &n.entries[s.Entry]
		if e.Action > v.Action || e.Action == v.Action && e.Severity > v.Severity {
			v = Verdict{e.Action, e.Severity, s.Entry}
		}
	}
	if v.Action != Pass {
		return v
	}
	for _, s := range n.uncovered(allMatches(n.sounds, text, []func(rune) uint16{soundClass}, minSeverity), text) {
		if e := &n.entries[s.Entry]; e.Severity > v.Severity {
			v = Verdict{Flag, e.Severity, s.Entry}
		}
	}
	return v
}

// Masked is what Filter.AppendMasked promises.
func (n *Reference) Masked(text []byte, minSeverity uint8) (masked []byte) {
	spans := n.uncovered(allMatches(n.words, text, readings(text), minSeverity), text)
	for at := 0; at < len(text); {
		_, size := utf8.DecodeRune(text[at:])
		inside := slices.ContainsFunc(spans, func(s Span) bool {
			return n.entries[s.Entry].Action >= Mask && int(s.Start) <= at && at < int(s.End)
		})
		if inside {
			masked = append(masked, '*')
		} else {
			masked = append(masked, text[at:at+size]...)
		}
		at += size
	}
	return masked
}
