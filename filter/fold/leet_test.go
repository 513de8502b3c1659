package fold_test

import (
	"testing"

	. "github.com/barrage-im/barrage/filter/fold"
)

func TestStandsFor(t *testing.T) {
	type answer struct{ ok, leet bool }
	no, yes, leet := answer{}, answer{true, false}, answer{true, true}
	for _, c := range []struct {
		text string // each of its runes
		p    rune
		want answer
	}{
		{"iIｉіΙ𝓘lL", 'i', yes},
		{"1!|①！", 'i', leet},
		{"lLIꓲ𝐈Іɪ", 'l', yes},
		{"1!|", 'l', leet},
		{"iｉіi", 'l', no}, // has a dot, so it is no stroke
		{"oO０ΟОⓞ0", 'x', no},
		{"oΟО", 'o', yes},
		{"0０⓪", 'o', leet},
		{"oO", '0', leet},
		{"0０⓪", '0', yes},
		{"l|", '1', answer{}}, // set below: l may, | may not
		{"i", '1', no},
		{"4@＠", 'a', leet},
		{"3③", 'e', leet},
		{"5$＄", 's', leet},
		{"7", 't', leet},
		{"8", 'b', leet},
		{"9", 'g', leet},
		{"aest", '7', no},
		{"es", '5', no},
		{"a", '4', no},
		{"@", '4', no},
		{"9", 'q', no},
		{"+", 't', no},
		{"後后", '后', yes},
		{"前 .", '后', no},
		{"𠮷", '𠮷', yes},
		{"𠯷", '𠮷', no}, // 64 behind: another bucket
		{"😀", 'o', no},
	} {
		for _, r := range c.text {
			want := c.want
			if c.p == '1' && r == 'l' {
				want = leet
			}
			ok, l := StandsFor(r, c.p)
			if (answer{ok, l}) != want {
				t.Errorf("StandsFor(%c, %c) = %v, %v, want %v", r, c.p, ok, l, want)
			}
		}
	}
}

// Characters that share a bucket have nothing else in common.
func TestABucketIsNoLikeness(t *testing.T) {
	a, b := '𠮷', '𠮷'+1024
	if Coarse(a) != Coarse(b) {
		t.Fatalf("%U and %U are in two buckets; the test needs another pair", a, b)
	}
	if ok, _ := StandsFor(a, b); ok {
		t.Errorf("%c stands for %c", a, b)
	}
}
