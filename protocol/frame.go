package protocol

import "encoding/binary"

// Encoding is how frames are written.
type Encoding uint8

// The encodings.
const (
	Proto Encoding = iota // protobuf, each frame preceded by its length
	JSON                  // one JSON object a line
)

func (e Encoding) String() string {
	if e == JSON {
		return "json"
	}
	return "proto"
}

// AppendFrame appends payload as one frame of a byte stream: its length as a
// minimal uvarint, then its bytes. An empty payload is not a frame.
func AppendFrame(dst, payload []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	return append(dst, payload...)
}

// NextFrame cuts the first frame off a byte stream. frame and rest are parts of
// buf. When buf holds only the beginning of a frame, frame is nil and rest is
// buf: read more. An empty frame, a length that is not a minimal uvarint and a
// length above limit are refused as soon as the length can be read, so that
// nobody makes room for a frame before its bytes are there.
func NextFrame(buf []byte, limit int) (frame, rest []byte, err error) {
	longest := uvarintLen(uint64(limit))
	size, n := binary.Uvarint(buf[:min(len(buf), longest)])
	switch {
	case n == 0 && len(buf) < longest:
		return nil, buf, nil
	case n <= 0: // no need to see the end of it
		return nil, buf, Errorf(CloseTooLarge, "a frame's length is far above the limit of %d bytes", limit)
	case n > 1 && buf[n-1] == 0:
		return nil, buf, Errorf(CloseMalformed, "a frame's length must be a minimal uvarint")
	case size == 0:
		return nil, buf, Errorf(CloseMalformed, "a frame must not be empty")
	case size > uint64(limit):
		return nil, buf, Errorf(CloseTooLarge, "a frame of %d bytes; the limit is %d", size, limit)
	case uint64(len(buf)-n) < size:
		return nil, buf, nil
	}
	end := n + int(size)
	return buf[n:end:end], buf[end:], nil
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
