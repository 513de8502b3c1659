package fold

import _ "embed" // syllables.bin

const (
	firstHan = 0x3400
	lastHan  = 0x9FFF
)

// syllables has two bytes for each character from firstHan, the lower first.
//
//go:embed syllables.bin
var syllables string

// Syllable is how a Han character is most often read, as the number of a
// syllable of pinyin without tone; 0: it is none, or its reading is not known.
// A character with several readings has only the first.
func Syllable(r rune) uint16 {
	if r < firstHan || r > lastHan {
		r = Fine(r) // a compatibility form perhaps
		if r < firstHan || r > lastHan {
			return 0
		}
	}
	i := 2 * (r - firstHan)
	return uint16(syllables[i]) | uint16(syllables[i+1])<<8
}
