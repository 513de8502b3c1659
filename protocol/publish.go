package protocol

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barrage-im/barrage/protocol/wire"
)

// A publish and its acknowledgement are most of what clients and edges say.
// Both are read and written here without building a message; everything that
// is not plainly one of them is left to DecodeClient and DecodeServer.

// A Publish is a publish command. The fields lie in the frame that it was
// decoded from.
type Publish struct {
	ID                          uint64
	Room, Key, Kind, Text, Data []byte
	Order                       uint64
	TimeoutMS                   uint32
}

// A Published is an acknowledgement. Its strings lie in the frame that it was
// decoded from.
type Published struct {
	ID, Seq        uint64
	TimeMS         int64
	Epoch, Survive []byte
	Verdict, Text  []byte // empty: the message was appended as it was sent
	Duplicate      bool
}

const (
	publishTag   = 6<<3 | 2
	publishedTag = 7<<3 | 2

	publishRoomTag    = 1<<3 | 2
	publishKeyTag     = 2<<3 | 2
	publishKindTag    = 3<<3 | 2
	publishTextTag    = 4<<3 | 2
	publishDataTag    = 5<<3 | 2
	publishOrderTag   = 6 << 3
	publishTimeoutTag = 7 << 3

	publishedRoomTag      = 1<<3 | 2
	publishedSeqTag       = 2 << 3
	publishedTimeTag      = 3 << 3
	publishedSurviveTag   = 4<<3 | 2
	publishedEpochTag     = 5<<3 | 2
	publishedDuplicateTag = 6 << 3
	publishedVerdictTag   = 7<<3 | 2
	publishedTextTag      = 8<<3 | 2
)

// A field is one of a message, as nextField finds it.
type field struct {
	tag    byte   // number<<3 | wire type; the number is below 16
	number uint64 // of a varint
	bytes  []byte // of a string, bytes or message
}

// fields walks a message that has each of its fields once at most, numbered
// below 16. Others end the walk with ok false.
type fields struct {
	rest []byte
	seen uint16
	ok   bool
}

func (w *fields) next() (f field, more bool) {
	if len(w.rest) == 0 {
		w.ok = true
		return f, false
	}
	f.tag = w.rest[0]
	number := f.tag >> 3
	if f.tag >= 0x80 || w.seen&(1<<number) != 0 {
		return f, false
	}
	w.seen |= 1 << number
	n := 0
	f.number, n = binary.Uvarint(w.rest[1:])
	if n <= 0 {
		return f, false
	}
	w.rest = w.rest[1+n:]
	switch protowire.Type(f.tag & 7) {
	case protowire.VarintType:
	case protowire.BytesType:
		if f.number > uint64(len(w.rest)) {
			return f, false
		}
		f.bytes, w.rest = w.rest[:f.number], w.rest[f.number:]
	default:
		return f, false
	}
	return f, true
}

// cutFrame takes a frame apart that has an id and one message, and nothing else.
func cutFrame(frame []byte, limit int, bodyTag byte) (id uint64, body []byte, ok bool) {
	if len(frame) > limit {
		return 0, nil, false
	}
	w := fields{rest: frame}
	for f, more := w.next(); more; f, more = w.next() {
		switch f.tag {
		case idTag:
			id = f.number
		case bodyTag:
			body = f.bytes
		default:
			return 0, nil, false
		}
	}
	return id, body, w.ok && id != 0 && body != nil
}

// Decode reads a frame of the Proto encoding, without its length. False says
// nothing of the frame but that DecodeClient is to look at it; p is undefined
// then.
func (p *Publish) Decode(frame []byte) bool {
	*p = Publish{}
	id, body, ok := cutFrame(frame, MaxClientFrame, publishTag)
	if !ok {
		return false
	}
	p.ID = id
	w := fields{rest: body}
	for f, more := w.next(); more; f, more = w.next() {
		switch f.tag {
		case publishRoomTag:
			p.Room = f.bytes
		case publishKeyTag:
			p.Key = f.bytes
		case publishKindTag:
			p.Kind = f.bytes
		case publishTextTag:
			p.Text = f.bytes
		case publishDataTag:
			p.Data = f.bytes
			continue
		case publishOrderTag:
			p.Order = f.number
			continue
		case publishTimeoutTag:
			if f.number > math.MaxUint32 {
				return false
			}
			p.TimeoutMS = uint32(f.number)
			continue
		default:
			return false
		}
		if !utf8.Valid(f.bytes) {
			return false
		}
	}
	return w.ok
}

// Decode reads a frame of the Proto encoding, without its length. False says
// nothing of the frame but that DecodeServer is to look at it; p is undefined
// then.
func (p *Published) Decode(frame []byte) bool {
	*p = Published{}
	id, body, ok := cutFrame(frame, MaxServerFrame, publishedTag)
	if !ok {
		return false
	}
	p.ID = id
	w := fields{rest: body}
	for f, more := w.next(); more; f, more = w.next() {
		switch f.tag {
		case publishedSeqTag:
			p.Seq = f.number
			continue
		case publishedTimeTag:
			p.TimeMS = int64(f.number)
			continue
		case publishedDuplicateTag:
			p.Duplicate = f.number != 0
			continue
		case publishedRoomTag: // the one that was published to
		case publishedSurviveTag:
			p.Survive = f.bytes
		case publishedEpochTag:
			p.Epoch = f.bytes
		case publishedVerdictTag:
			p.Verdict = f.bytes
		case publishedTextTag:
			p.Text = f.bytes
		default:
			return false
		}
		if !utf8.Valid(f.bytes) {
			return false
		}
	}
	return w.ok
}

// AppendPublished appends the acknowledgement of the publish with this id.
// verdict and text are empty where the message was appended as it was sent.
func AppendPublished(
	dst []byte, enc Encoding, id uint64, room string, seq uint64, timeMS int64, survive string, epoch uint64, duplicate bool, verdict, text string,
) []byte {
	if enc == JSON {
		return AppendServer(dst, enc, &wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Published{Published: &wire.Published{
			Room: room, Seq: seq, TimeMs: timeMS, Survive: survive, Epoch: FormatEpoch(epoch), Duplicate: duplicate,
			Verdict: verdict, Text: text,
		}}})
	}
	var digits [maxEpoch]byte
	formatted := AppendEpoch(digits[:0], epoch)
	size := fieldLen(len(room)) + numberLen(seq) + numberLen(uint64(timeMS)) + fieldLen(len(survive)) + fieldLen(len(formatted)) +
		fieldLen(len(verdict)) + fieldLen(len(text))
	if duplicate {
		size += 2
	}
	dst = binary.AppendUvarint(dst, uint64(numberLen(id)+1+uvarintLen(uint64(size))+size))
	dst = appendNumber(dst, idTag, id)
	dst = append(dst, publishedTag)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = appendField(dst, publishedRoomTag, room)
	dst = appendNumber(dst, publishedSeqTag, seq)
	dst = appendNumber(dst, publishedTimeTag, uint64(timeMS))
	dst = appendField(dst, publishedSurviveTag, survive)
	dst = appendField(dst, publishedEpochTag, formatted)
	if duplicate {
		dst = append(dst, publishedDuplicateTag, 1)
	}
	dst = appendField(dst, publishedVerdictTag, verdict)
	return appendField(dst, publishedTextTag, text)
}

// maxEpoch is the digits of the largest epoch.
const maxEpoch = 13
