package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Errors of Apply and Load, to be tested with errors.Is.
var (
	// ErrNewer: the entry is of a schema that this version does not know.
	ErrNewer = errors.New("log entry of a newer schema: run a newer version")
	// ErrCorrupt: the bytes are not what was written.
	ErrCorrupt = errors.New("corrupt: checksum or structure does not fit")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A log entry is one format byte, the CRC-32C of the rest in little endian, and
// the rest.
const (
	entryFormat = 1
	entryHead   = 1 + 4
)

// AppendFrame begins an entry at the end of dst; append its content, then call
// CloseFrame.
func AppendFrame(dst []byte) []byte { return append(dst, entryFormat, 0, 0, 0, 0) }

// CloseFrame ends the entry that begins at start.
func CloseFrame(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start+1:], crc32.Checksum(dst[start+entryHead:], castagnoli))
	return dst
}

// OpenFrame checks an entry and returns its content.
func OpenFrame(entry []byte) ([]byte, error) {
	switch {
	case len(entry) == 0:
		return nil, fmt.Errorf("empty entry: %w", ErrCorrupt)
	case entry[0] != entryFormat:
		return nil, fmt.Errorf("entry format %d: %w", entry[0], ErrNewer)
	case len(entry) < entryHead:
		return nil, fmt.Errorf("entry of %d bytes: %w", len(entry), ErrCorrupt)
	case binary.LittleEndian.Uint32(entry[1:]) != crc32.Checksum(entry[entryHead:], castagnoli):
		return nil, fmt.Errorf("entry checksum: %w", ErrCorrupt)
	}
	return entry[entryHead:], nil
}

const sealBytes = 4

// AppendSeal begins a stored value at the start of dst, whose memory it uses;
// append the content, then call CloseSeal.
func AppendSeal(dst []byte) []byte { return append(dst[:0], 0, 0, 0, 0) }

// CloseSeal puts the CRC-32C of key and content before the content, so that a
// value in the wrong place is found out as well as a damaged one.
func CloseSeal(key, value []byte) []byte {
	binary.LittleEndian.PutUint32(value, sum(key, value[sealBytes:]))
	return value
}

// OpenSeal checks a stored value and returns its content.
func OpenSeal(key, value []byte) ([]byte, error) {
	if len(value) < sealBytes || binary.LittleEndian.Uint32(value) != sum(key, value[sealBytes:]) {
		return nil, fmt.Errorf("stored record %q: %w", key, ErrCorrupt)
	}
	return value[sealBytes:], nil
}

func sum(key, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, content)
}

// PrefixEnd is the first key behind all that begin with prefix, which must have
// a byte other than 0xff.
func PrefixEnd(prefix []byte) []byte {
	hi := append([]byte(nil), prefix...)
	for i := len(hi) - 1; ; i-- {
		if hi[i]++; hi[i] != 0 {
			return hi[:i+1]
		}
	}
}
