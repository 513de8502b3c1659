// Package filter turns word lists into an immutable matcher, and messages into
// verdicts. It is pure: no clock, no I/O, no goroutine.
//
// A text is folded while it is scanned (package fold): case, width, traditional
// and simplified characters, look-alikes, digits and letters in other styles
// come to one class, symbols between letters are skipped, repeated letters
// count once. A match is where the folded word stands in the folded text and
// the text around it agrees: the gaps are short, the repeats are not a
// different word's spelling, the ends are ends of words where the entry asks
// for it.
package filter

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Span is a match: bytes Start to End of the text, as it was given, and the
// entry, by its number among those that were compiled.
type Span struct {
	Start, End int32
	Entry      uint32
}

// MaxText bounds the text of one call: no message is longer, and offsets fit
// into 32 bits.
const MaxText = 1 << 30

// Options of Compile.
type Options struct {
	// Engine asks for one: "folded" or "cloudflare". Empty: by the list's size,
	// which Filter.Engine tells.
	Engine string
}

// A Filter is compiled entries. It is immutable and safe for concurrent use.
type Filter struct {
	rules   rules
	words   matcher // what is looked for
	allowed matcher // exceptions
	sounds  matcher // by syllable; entries marked Strict
}

// Compile makes a filter of entries. An error names the entry that cannot be
// used and says why.
func Compile(entries []Entry, o Options) (*Filter, error) {
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("%d entries: at most %d are taken", len(entries), MaxEntries)
	}
	f := &Filter{rules: newRules(entries)}
	build := [3]builder{}
	for i := range entries {
		e := &entries[i]
		if err := checkEntry(e); err != nil {
			return nil, entryError(e, err)
		}
		p, err := newPattern(e.Word)
		if err != nil {
			return nil, entryError(e, err)
		}
		to := &build[0]
		if e.Allow {
			to = &build[1]
		}
		to.add(uint32(i), p, e)
		if e.Strict && !e.Allow {
			if p, ok := soundPattern(e.Word); ok {
				build[2].add(uint32(i), p, e)
			}
		}
	}
	var err error
	if f.words, err = build[0].build(o.Engine, &f.rules, &folds); err != nil {
		return nil, err
	}
	if f.allowed, err = build[1].build(folded, &f.rules, &folds); err != nil {
		return nil, err
	}
	f.sounds, err = build[2].buildSounds(&f.rules)
	return f, err
}

func entryError(e *Entry, err error) error {
	if e.Line > 0 {
		return fmt.Errorf("line %d: %.80q: %w", e.Line, e.Word, err)
	}
	return fmt.Errorf("%.80q: %w", e.Word, err)
}

func checkEntry(e *Entry) error {
	switch {
	case e.Allow:
		return nil
	case e.Action <= Pass || e.Action > Block:
		return fmt.Errorf("action %v: use flag to block", e.Action)
	case e.Severity < MinSeverity || e.Severity > MaxSeverity:
		return fmt.Errorf("severity %d: use %d to %d", e.Severity, MinSeverity, MaxSeverity)
	}
	return nil
}

// Len is the number of entries.
func (f *Filter) Len() int { return len(f.rules.meta) }

// MemBytes is the memory that the filter holds, without what all filters share.
func (f *Filter) MemBytes() int {
	return f.rules.bytes() + f.words.bytes() + f.allowed.bytes() + f.sounds.bytes()
}

// Engine names the engine that looks for the words: "folded" or "cloudflare".
func (f *Filter) Engine() string { return f.words.name() }

// Entry returns entry i.
func (f *Filter) Entry(i uint32) Entry { return f.rules.entry(i) }

// Scan appends the matches in a text, leftmost and there longest, none
// overlapping another, without those that an allowed entry covers. It does not
// allocate while dst has room.
func (f *Filter) Scan(dst []Span, text []byte) []Span {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	kept := len(dst)
	dst = f.words.collect(dst, text, wanted{f: f, longest: true})
	if len(dst) == kept {
		return dst
	}
	return append(dst[:kept], f.choose(dst[kept:], text)...)
}

// choose keeps leftmost-longest spans that no allowed one covers, in place.
func (f *Filter) choose(spans []Span, text []byte) []Span {
	spans = f.uncovered(spans, text)
	sortSpans(spans)
	kept := spans[:0]
	end := int32(0)
	for _, s := range spans {
		if s.Start >= end {
			kept = append(kept, s)
			end = s.End
		}
	}
	return kept
}

// uncovered drops spans that lie inside an allowed one, in place.
func (f *Filter) uncovered(spans []Span, text []byte) []Span {
	if f.allowed.count == 0 || len(spans) == 0 {
		return spans
	}
	var room [16]Span
	allowed := f.allowed.collect(room[:0], text, wanted{f: f, longest: true})
	if len(allowed) == 0 {
		return spans
	}
	sortSpans(allowed)
	for i := 1; i < len(allowed); i++ { // as far as any reaches that begins so early
		allowed[i].End = max(allowed[i].End, allowed[i-1].End)
	}
	kept := spans[:0]
	for _, s := range spans {
		i, _ := slices.BinarySearchFunc(allowed, s.Start+1, func(a Span, at int32) int { return cmp.Compare(a.Start, at) })
		if i == 0 || allowed[i-1].End < s.End {
			kept = append(kept, s)
		}
	}
	return kept
}

// Verdict is what a text comes to.
type Verdict struct {
	Action   Action
	Severity uint8
	Entry    uint32 // the strongest; meaningful unless Action is Pass
}

// Judge gives the strongest action of all matches, overlapping ones included,
// whose severity is minSeverity or more; of equal actions the most severe
// entry. A text in which nothing is found costs no allocation.
func (f *Filter) Judge(text []byte, minSeverity uint8) Verdict {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	var v Verdict
	var room [16]Span
	for _, s := range f.uncovered(f.words.collect(room[:0], text, wanted{f: f, severity: minSeverity}), text) {
		m := &f.rules.meta[s.Entry]
		if m.action > v.Action || m.action == v.Action && m.severity > v.Severity {
			v = Verdict{m.action, m.severity, s.Entry}
		}
	}
	if v.Action == Pass && f.sounds.count > 0 {
		for _, s := range f.uncovered(f.sounds.collect(room[:0], text, wanted{f: f, severity: minSeverity}), text) {
			if m := &f.rules.meta[s.Entry]; v.Action == Pass || m.severity > v.Severity {
				v = Verdict{Flag, m.severity, s.Entry}
			}
		}
	}
	return v
}

// AppendMasked appends a text in which every character of a match that is to be
// masked, or more, is an asterisk; the number of characters stays.
func (f *Filter) AppendMasked(dst, text []byte, minSeverity uint8) []byte {
	var room [16]Span
	spans := f.uncovered(f.words.collect(room[:0], text, wanted{f: f, severity: minSeverity}), text)
	sortSpans(spans)
	at := int32(0)
	for _, s := range spans {
		if f.rules.meta[s.Entry].action < Mask || s.End <= at {
			continue
		}
		from := max(s.Start, at)
		dst = append(dst, text[at:from]...)
		for rest := text[from:s.End]; len(rest) > 0; { // utf8.RuneCount would make a string of it
			_, size := utf8.DecodeRune(rest)
			dst, rest = append(dst, '*'), rest[size:]
		}
		at = s.End
	}
	return append(dst, text[at:]...)
}
