package fold

// Kind is what sort of character a rune is once it is folded: ④ is a digit, Ⓐ a
// letter.
type Kind uint8

// The generator numbers them too.
const (
	Skip      Kind = iota // no character: unassigned, for private use, no rune at all
	Letter                // of an alphabet; with Digit, what words are made of
	Digit                 //
	Ideograph             // Han, kana, hangul, and scripts without spaces between words, such as Thai
	Invisible             // skipped: zero width, variation selectors, controls, accents standing alone
	Space                 // skipped
	Symbol                // skipped: punctuation, signs, emoji, and the symbols of leetspeak
)

type kindRun struct {
	from rune
	kind Kind
}

var (
	bmpKind [1 << 16]Kind
	farKind []kindRun // in order; each holds until the next
)

// KindOf is the kind of any rune.
func KindOf(r rune) Kind {
	if uint32(r) < uint32(len(bmpKind)) {
		return bmpKind[r]
	}
	if uint32(r) > 0x10FFFF {
		return Skip
	}
	lo, hi := 0, len(farKind)
	for lo < hi { // the first that begins behind r
		mid := int(uint(lo+hi) >> 1)
		if farKind[mid].from <= r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return farKind[lo-1].kind
}
