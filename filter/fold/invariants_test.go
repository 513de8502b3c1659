package fold_test

import (
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	. "github.com/barrage-im/barrage/filter/fold"
)

const endOfRunes = 0x110000

func TestClassAndCanonicalRuneAgree(t *testing.T) {
	seen := make([]bool, Classes)
	for r := rune(-2); r < endOfRunes+2; r++ {
		c, f, k := Coarse(r), Fine(r), KindOf(r)
		if int(c) >= Classes {
			t.Fatalf("%U has class %d of %d", r, c, Classes)
		}
		seen[c] = true
		if r >= 0 && r <= 0xFFFF && BMP[r] != c {
			t.Fatalf("%U: BMP has %d, Coarse %d", r, BMP[r], c)
		}
		if (c != 0) != (f != 0 || LeetSymbol(r)) {
			t.Errorf("%U has class %d, counts as %U, leet symbol %v", r, c, f, LeetSymbol(r))
		}
		if f != 0 && (Fine(f) != f || Coarse(f) != c || KindOf(f) != k) {
			t.Errorf("%U counts as %U, that as %U; classes %d, %d; kinds %d, %d", r, f, Fine(f), c, Coarse(f), k, KindOf(f))
		}
		if word := k == Letter || k == Digit || k == Ideograph; word != (f != 0) {
			t.Errorf("%U is of kind %d and counts as %U", r, k, f)
		}
		if LeetSymbol(r) && k != Symbol {
			t.Errorf("%U is a symbol of leetspeak of kind %d", r, k)
		}
	}
	for c, used := range seen {
		if !used {
			t.Errorf("no rune has class %d", c)
		}
	}
}

// The scan compares classes: what they keep apart is never looked at again.
func TestWhatMayStandSharesAClass(t *testing.T) {
	const patterns = "abcdefghijklmnopqrstuvwxyz0123456789æß一发がσи"
	for r := rune(0); r < endOfRunes; r++ {
		for _, p := range patterns {
			ok, leet := StandsFor(r, p)
			if ok && Coarse(r) != Coarse(p) {
				t.Errorf("%U may stand for %c, in another class", r, p)
			}
			if same := Fine(r) == p; same && (!ok || leet) {
				t.Errorf("%U counts as %c; StandsFor says %v, %v", r, p, ok, leet)
			}
			if leet && (KindOf(r) == Letter) == (KindOf(p) == Letter) {
				t.Errorf("%U for %c is no leetspeak", r, p)
			}
		}
		if f := Fine(r); f != 0 {
			if ok, leet := StandsFor(r, f); !ok || leet {
				t.Errorf("%U may not stand for %U, as which it counts", r, f)
			}
		}
	}
}

// Checked against the standard library's tables, which are not ours.
func TestCaseNeverMatters(t *testing.T) {
	for r := rune(0); r < endOfRunes; r++ {
		for _, other := range []rune{unicode.ToLower(r), unicode.SimpleFold(r)} {
			if r == 0x345 || other == 0x345 {
				continue // an iota below a letter is a mark, in case folding ι
			}
			if KindOf(r) != Skip && KindOf(other) != Skip && Fine(other) != Fine(r) {
				t.Errorf("%c (%U) counts as %c, %c (%U) as %c", r, r, Fine(r), other, other, Fine(other))
			}
		}
	}
}

// A text that was normalised on its way is read like the one that was sent.
func TestNormalisationNeverMatters(t *testing.T) {
	for r := rune(0); r < endOfRunes; r++ {
		if KindOf(r) == Skip || r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		for _, form := range []norm.Form{norm.NFC, norm.NFKC} {
			to := []rune(form.String(string(r)))
			old := len(to) == 1 && r <= 0xFFFF && to[0] > 0xFFFF // see gen/rule_compat.go
			if len(to) == 1 && !old && Fine(to[0]) != Fine(r) {
				t.Errorf("%c (%U) counts as %c, normalised it is %c (%U) and counts as %c", r, r, Fine(r), to[0], to[0], Fine(to[0]))
			}
		}
	}
}

func TestAnswersCostNoAllocation(t *testing.T) {
	const runes = "aÄ@①後ｶ😀𝓘𠮷"
	if n := testing.AllocsPerRun(100, func() {
		for _, r := range runes {
			StandsFor(r, 'i')
			KindOf(r)
			Syllable(r)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFine(b *testing.B) {
	const runes = "Ｆuck the Еvil① 後台 ｶﾀｶﾅ😀𝓘"
	for b.Loop() {
		for _, r := range runes {
			Fine(r)
		}
	}
}
