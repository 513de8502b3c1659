package ledger

import "math"

// MarkerSize is the length of a marker, in bytes: the smallest message that
// can be accounted for.
const MarkerSize = 1 + 4 + 8 + 16

const (
	markerStart = '~'
	hexDigits   = "0123456789abcdef"
	padding     = "so this is where the crowd is tonight, and everybody is saying the same thing twice over. "
)

// AppendMessage appends the text of a message: who published it, which one of
// his it is, counted from 1, when it was sent, and ordinary letters up to size
// bytes. Letters rather than zeros, so that compression finds what it would
// find in a chat.
func AppendMessage(dst []byte, publisher int, n uint32, sent int64, size int) []byte {
	start := len(dst)
	dst = append(dst, markerStart)
	dst = appendHex(dst, uint64(publisher), 4)
	dst = appendHex(dst, uint64(n), 8)
	dst = appendHex(dst, uint64(sent), 16)
	for len(dst)-start < size {
		dst = append(dst, padding[:min(len(padding), size-(len(dst)-start))]...)
	}
	return dst
}

// ParseMarker reads the marker that text begins with.
func ParseMarker(text []byte) (publisher int, n uint32, sent int64, ok bool) {
	if len(text) < MarkerSize || text[0] != markerStart {
		return 0, 0, 0, false
	}
	p, ok1 := parseHex(text[1:5])
	c, ok2 := parseHex(text[5:13])
	t, ok3 := parseHex(text[13:29])
	if !ok1 || !ok2 || !ok3 || t > math.MaxInt64 {
		return 0, 0, 0, false
	}
	return int(p), uint32(c), int64(t), true
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&0xf])
	}
	return dst
}

func parseHex(text []byte) (uint64, bool) {
	var v uint64
	for _, b := range text {
		switch {
		case b >= '0' && b <= '9':
			v = v<<4 | uint64(b-'0')
		case b >= 'a' && b <= 'f':
			v = v<<4 | uint64(b-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
