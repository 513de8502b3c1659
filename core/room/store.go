package room

import (
	"encoding/binary"

	"github.com/barrage-im/barrage/core/machine"
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
//	t roomkey seq              tombstone: the message of seq was retracted, by which (uvarint)
//	s length room kind user    sanction, kind m (mute) or b (ban): until, rank (uvarints), actor, reason
//	w room                     slow mode that moderators set, ms (uvarint)
//	a index                    rpc.AuditRecord
//
// Every value is sealed (machine.CloseSeal).
const (
	keyClock    = 'm'
	keyPolicies = 'p'
	keyLane     = 'l'
	keyHold     = 'h'
	keyRoom     = 'r'
	keyBlock    = 'b'
	keyEdge     = 'e'
	keyUser     = 'u'

	keyTombstone = 't'
	keySanction  = 's'
	keySlow      = 'w'
	keyAudit     = 'a'
)

func appendRoomKey(dst []byte, epoch uint64, name string) []byte {
	dst = binary.BigEndian.AppendUint64(dst, epoch)
	dst = append(dst, byte(len(name)))
	return append(dst, name...)
}

// put seals and stores what is written rarely.
func (s *Shard) put(key, content []byte) {
	s.batch.Set(key, machine.CloseSeal(key, append(machine.AppendSeal(nil), content...)))
}

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// cutRoomKey splits what follows the kind of a b, e, u or t key.
func cutRoomKey(k []byte) (epoch uint64, name, rest []byte, ok bool) {
	if len(k) < 9 || len(k) < 9+int(k[8]) {
		return 0, nil, nil, false
	}
	n := 9 + int(k[8])
	return binary.BigEndian.Uint64(k), k[9:n], k[n:], true
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
