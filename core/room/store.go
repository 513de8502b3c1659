package room

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The key space. Numbers are big endian, so that keys order as they do. A room
// key is epoch (8 bytes), length of the name (1 byte), name.
//
//	m                          clock
//	p                          policy table
//	l edge                     lane
//	h edge room                a room that a lane holds
//	r room                     room
//	b roomkey seq              block that begins with seq
//	e roomkey edge             sessions of an edge in a room
//	u roomkey edge user        sessions of a user on an edge
//
// Every value begins with the CRC-32C of its key and the rest of it, so that a
// value in the wrong place is found out too.
const (
	keyClock    = 'm'
	keyPolicies = 'p'
	keyLane     = 'l'
	keyHold     = 'h'
	keyRoom     = 'r'
	keyBlock    = 'b'
	keyEdge     = 'e'
	keyUser     = 'u'
)

const sealBytes = 4

// seal begins a value; sealed ends it.
func seal(dst []byte) []byte { return append(dst[:0], 0, 0, 0, 0) }

func sealed(key, value []byte) []byte {
	binary.LittleEndian.PutUint32(value, checksum(key, value[sealBytes:]))
	return value
}

// open checks a stored value and returns what was sealed.
func open(key, value []byte) ([]byte, error) {
	if len(value) < sealBytes || binary.LittleEndian.Uint32(value) != checksum(key, value[sealBytes:]) {
		return nil, fmt.Errorf("stored %c record %x: %w", key[0], key[1:], ErrCorrupt)
	}
	return value[sealBytes:], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rest)
}

func appendRoomKey(dst []byte, epoch uint64, name string) []byte {
	dst = binary.BigEndian.AppendUint64(dst, epoch)
	dst = append(dst, byte(len(name)))
	return append(dst, name...)
}

// cutRoomKey splits what follows the kind of a b, e or u key.
func cutRoomKey(k []byte) (epoch uint64, name, rest []byte, ok bool) {
	if len(k) < 9 || len(k) < 9+int(k[8]) {
		return 0, nil, nil, false
	}
	n := 9 + int(k[8])
	return binary.BigEndian.Uint64(k), k[9:n], k[n:], true
}

// end is the first key behind all that begin with prefix, which does not
// consist of 0xff only.
func end(prefix []byte) []byte {
	hi := append([]byte(nil), prefix...)
	for i := len(hi) - 1; ; i-- {
		if hi[i]++; hi[i] != 0 {
			return hi[:i+1]
		}
	}
}

// fields reads what the binary.Append functions wrote. After a read beyond the
// end, bad is true and everything reads as zero.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) fixed64() uint64 {
	if len(f.b) < 8 {
		f.bad, f.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

func (f *fields) text() string {
	n := f.uvarint()
	if n > uint64(len(f.b)) {
		f.bad, f.b = true, nil
		return ""
	}
	v := string(f.b[:n])
	f.b = f.b[n:]
	return v
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
