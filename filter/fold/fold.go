// Package fold says which characters count as the same. Its tables are
// generated (go generate) by folder gen, whose data/README.md names the sources.
//
// There are two answers. The coarse class is what a scan compares: characters
// that may stand for each other in any way share one. Fine and StandsFor are the
// exact answer, for what the scan found. A rune without class is skipped.
package fold

//go:generate go run ./gen

// BMP is the coarse class of each character of the basic plane; 0: it is
// skipped. Nobody may write to it.
var BMP [1 << 16]uint16

// canon is the canonical rune of each class that has exactly one: those behind
// the ones of leetspeak and before the buckets.
var canon [Classes]uint16

// pair is a rune and what it counts as.
type pair struct{ r, to rune }

var (
	// leetFine are the runes beyond ASCII whose class is one of leetspeak, by rune.
	leetFine []pair
	// farFine are the runes beyond the basic plane that count as another one there.
	farFine []pair
	// symbols are leetspeak's symbols beyond ASCII.
	symbols []pair
	// capitalI are the runes beyond ASCII drawn like a capital I, in stretches.
	capitalI []stretch
)

// Coarse is the class of any rune; 0: it is skipped.
func Coarse(r rune) uint16 {
	if uint32(r) < uint32(len(BMP)) {
		return BMP[r]
	}
	return far(r)
}

// Fine is the rune that r counts as when leetspeak is left aside: ａ, А and Á
// are a, ④ is 4, 後 is 后. It is 0 for a rune that is skipped, symbols of
// leetspeak among them.
func Fine(r rune) rune {
	c := Coarse(r)
	switch {
	case c == 0:
		return 0
	case c <= leetClasses:
		return leetLetter(r)
	case c < firstBucket:
		return rune(canon[c])
	default:
		if to := find(farFine, r); to != 0 {
			return to
		}
		return r
	}
}

// leetLetter is Fine of a rune whose class is one of leetspeak.
func leetLetter(r rune) rune {
	switch {
	case r >= 'A' && r <= 'Z':
		return r + ('a' - 'A')
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		return r
	case r < 0x80:
		return 0 // a symbol
	default:
		return find(leetFine, r)
	}
}

// find looks a rune up in a list in order; 0: it is not there.
func find(list []pair, r rune) rune {
	lo, hi := 0, len(list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if list[mid].r < r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(list) && list[lo].r == r {
		return list[lo].to
	}
	return 0
}
