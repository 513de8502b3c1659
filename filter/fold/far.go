package fold

// Beyond the basic plane few characters are written: 256 of them share a page,
// and most pages are of one sort.
const (
	firstFar = 0x10000
	endFar   = 0x40000 // no character with a class is at or beyond it

	pageSkip = 0 // all are skipped: emoji, and what is unassigned
	pageSelf = 1 // all count as themselves
)

var (
	farPage  [(endFar - firstFar) >> 8]uint8 // pageSkip, pageSelf, or 2 + index into farPages
	farPages = make([][256]uint16, 0, 136)
)

func far(r rune) uint16 {
	if uint32(r)-firstFar >= endFar-firstFar {
		return 0
	}
	switch p := farPage[(r-firstFar)>>8]; p {
	case pageSkip:
		return 0
	case pageSelf:
		return bucket(r)
	default:
		return farPages[p-2][r&0xFF]
	}
}

// bucket is the class of a rune beyond the basic plane that counts as itself.
// Runes share it that have nothing in common.
func bucket(r rune) uint16 { return firstBucket + uint16(r%buckets) }

// setFar gives a rune a class while the tables are read.
func setFar(r rune, class uint16) {
	p := &farPage[(r-firstFar)>>8]
	if *p < 2 {
		var page [256]uint16
		if *p == pageSelf {
			for i := range page {
				page[i] = bucket(r&^0xFF + rune(i))
			}
		}
		farPages = append(farPages, page)
		*p = uint8(len(farPages) + 1)
	}
	farPages[*p-2][r&0xFF] = class
}
