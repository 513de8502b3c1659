package chat

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode"
)

// clean makes other people's text harmless: nothing in it can move the cursor,
// change colours or the direction of writing, or pretend to be another line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case r < 0x20:
			return 0x2400 + r // ␛ and its like
		case r == 0x7f:
			return '␡'
		case r < 0xa0 && r > 0x7f, unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return unicode.ReplacementChar
		case r == 0xad || r == 0x200b || r == 0xfeff || r >= 0xe0000 && r <= 0xe007f: // invisible
			return -1
		}
		return r
	}, s)
}

// palette are colours that can be read on light and on dark (ANSI 256).
var palette = []int{33, 37, 64, 69, 98, 103, 125, 130, 136, 161, 166, 168, 172, 31, 71, 133}

// colour is a user's, always the same one.
func colour(user string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // never fails
	return palette[h.Sum32()%uint32(len(palette))]
}

// clock shows t as briefly as now allows.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("Jan 2 15:04")
}

// brief is a wait in words: "2 s", "now".
func brief(d time.Duration) string {
	switch {
	case d < 500*time.Millisecond:
		return "now"
	case d < 90*time.Second:
		return fmt.Sprintf("in %d s", int(d.Round(time.Second).Seconds()))
	}
	return fmt.Sprintf("in %d min", int(d.Round(time.Minute).Minutes()))
}

func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
