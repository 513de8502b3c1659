package main

import (
	"fmt"
	"strings"
)

// rule takes a rune one step further, or says that it does not apply. It must
// not depend on rules having run before it.
type rule struct {
	name string
	step func(r rune) (rune, bool)
}

// maxSteps bounds the way of a rune to its canonical one.
const maxSteps = 12

// rules lists the rules in the order they are tried. After each step the list
// is tried from its start.
func (b *builder) rules() []rule {
	return []rule{
		{"digit", b.digit},
		{"decomposition", b.decomposed},
		{"case", b.lowered}, // before what looks at shapes, so that case never matters
		{"letter by name", b.named},
		{"katakana", hiragana},
		{"look-alike", b.lookAlike},
		{"numeral", numeral},
		{"simplified", b.simplify},
		{"shinjitai", b.fromJapanese},
		{"variant", b.variant},
	}
}

type builder struct {
	*sources
	steps []rule
	fine  map[rune]rune   // rune → canonical, for all that are not skipped
	why   map[rune]string // the first rule that a rune folded by
	// capitalI are the runes drawn like a capital I, which is drawn like l.
	capitalI []rune
	symbols  map[rune]rune // symbols that stand for letters → their ASCII form
}

func newBuilder(s *sources) *builder {
	b := &builder{sources: s, fine: map[rune]rune{}, why: map[rune]string{}, symbols: map[rune]rune{}}
	b.steps = b.rules()
	return b
}

// canonical follows the rules from r to the rune it counts as; 0: skipped.
// first names the first rule that applied, capI says that r is drawn like I.
func (b *builder) canonical(r rune) (to rune, first string, capI bool, err error) {
	for range maxSteps {
		next, name := b.once(r)
		capI = capI || r == 'I' || b.confusable[r] == 'l'
		if name == "" {
			if !b.wordRune(r) {
				return 0, first, false, nil
			}
			return r, first, capI, nil
		}
		if first == "" {
			first = name
		}
		if next == 0 {
			return 0, first, false, nil
		}
		r = next
	}
	return 0, "", false, fmt.Errorf("%U does not come to an end", r)
}

func (b *builder) once(r rune) (rune, string) {
	if b.ignorable[r] || b.skippedMark(r) {
		return r, ""
	}
	for _, s := range b.steps {
		if next, ok := s.step(r); ok {
			return next, s.name
		}
	}
	return r, ""
}

// foldAll folds every rune that Unicode has assigned.
func (b *builder) foldAll() error {
	for r := rune(0); r <= maxRune; r++ {
		if b.chars[r] == nil {
			continue
		}
		to, first, capI, err := b.canonical(r)
		if err != nil {
			return err
		}
		if to == 0 {
			if ascii, ok := b.leetSymbol(r); ok {
				b.symbols[r] = ascii
			}
			continue
		}
		b.fine[r] = to
		b.why[r] = first
		if capI && to == 'i' {
			b.capitalI = append(b.capitalI, r)
		}
	}
	return b.check()
}

const maxRune = 0x10FFFF

// check holds the result to what package fold promises.
func (b *builder) check() error {
	for r, f := range b.fine {
		switch {
		case b.fine[f] != f:
			return fmt.Errorf("%U counts as %U, which does not count as itself", r, f)
		case r <= 0xFFFF && f > 0xFFFF:
			return fmt.Errorf("%U counts as %U: the table has no place for that", r, f)
		}
	}
	return nil
}

func (b *builder) letter(r rune) bool {
	c := b.chars[r]
	return c != nil && strings.HasPrefix(c.gc, "L")
}
