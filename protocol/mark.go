package protocol

import "encoding/binary"

// A record's mark is what a message is besides what its publisher wrote: fields
// 8, 9 and 11 of barrage.v1.Message. It stands between time and body, so that it
// is found without a look at the body, and in a plain record takes no bytes.

const (
	retractsTag = 8 << 3
	goneTag     = 9<<3 | 2
	shadowTag   = 11 << 3
)

// Why a record has no content: Message.gone.
const (
	GoneRetracted = "retracted" // a moderator, or its sender, took it back
	GoneWithheld  = "withheld"  // it is for its sender and moderators only
)

// RecordMark is a record's mark; a plain message has the zero one.
type RecordMark struct {
	Retracts uint64 // the seq of the earlier message that this one takes back
	Gone     string // why there is no content
	Shadow   bool   // for its sender and moderators only
}

func (m *RecordMark) size() int {
	n := numberLen(m.Retracts) + fieldLen(len(m.Gone))
	if m.Shadow {
		n += 2
	}
	return n
}

func (m *RecordMark) append(dst []byte) []byte {
	dst = appendNumber(dst, retractsTag, m.Retracts)
	dst = appendField(dst, goneTag, m.Gone)
	if m.Shadow {
		dst = append(dst, shadowTag, 1)
	}
	return dst
}

// cutMark takes the mark off what follows seq and time. ok is false where it is
// damaged.
func cutMark(b []byte) (mark RecordMark, body []byte, ok bool) {
	if len(b) > 0 && b[0] == retractsTag {
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return RecordMark{}, b, false
		}
		mark.Retracts, b = v, b[1+n:]
	}
	if len(b) > 0 && b[0] == goneTag {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return RecordMark{}, b, false
		}
		end := 1 + n + int(size)
		mark.Gone, b = goneText(b[1+n:end]), b[end:]
	}
	if len(b) > 0 && b[0] == shadowTag {
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return RecordMark{}, b, false
		}
		mark.Shadow, b = v != 0, b[1+n:]
	}
	// What comes twice or out of order would read otherwise once it is copied.
	again := len(b) > 0 && (b[0] == retractsTag || b[0] == goneTag || b[0] == shadowTag)
	return mark, b, !again
}

// goneText is b as a string; the known ones cost no memory.
func goneText(b []byte) string {
	switch {
	case string(b) == GoneRetracted:
		return GoneRetracted
	case string(b) == GoneWithheld:
		return GoneWithheld
	}
	return string(b)
}

// AppendMarkedRecord is AppendRecord for a message with a mark.
func AppendMarkedRecord(dst []byte, seq uint64, timeMS int64, mark RecordMark, body []byte) []byte {
	dst = appendRecordHead(dst, seq, timeMS, mark.size()+len(body))
	return append(mark.append(dst), body...)
}

// RecordMarkOf reads the mark of a message, as NextRecord returns it, without a
// look at its body. ok is false for what is damaged.
func RecordMarkOf(message []byte) (mark RecordMark, ok bool) {
	_, _, rest, ok := recordPlace(message)
	if !ok {
		return RecordMark{}, false
	}
	mark, _, ok = cutMark(rest)
	return mark, ok
}

// ForEachMarkedRecord is ForEachRecord for those who ask for marks rather than
// times.
func ForEachMarkedRecord(records []byte, visit func(seq uint64, mark RecordMark, record []byte) bool) error {
	for len(records) > 0 {
		record, message, rest, ok := NextRecord(records)
		if !ok {
			return errDamaged
		}
		seq, _, marked, ok := recordPlace(message)
		if !ok {
			return errDamaged
		}
		mark, _, ok := cutMark(marked)
		if !ok {
			return errDamaged
		}
		if !visit(seq, mark, record) {
			return nil
		}
		records = rest
	}
	return nil
}

// AppendTombstone appends what is left of a record (with tag and length) that
// was retracted: seq, time, sender and name. A shadow message's stays one, so
// that still nobody else learns of it. For what is damaged dst comes back as it
// was, with Corrupt.
func AppendTombstone(dst, record []byte) ([]byte, error) {
	r, ok := openRecord(record)
	var fields bodyFields
	if !ok || !parseBody(r.body, &fields) {
		return dst, errDamaged
	}
	r.mark.Gone = GoneRetracted
	dst = appendRecordHead(dst, r.seq, r.timeMS, r.mark.size()+fieldLen(len(fields[3]))+fieldLen(len(fields[4])))
	dst = r.mark.append(dst)
	dst = appendField(dst, senderTag, fields[3])
	return appendField(dst, nameTag, fields[4]), nil
}

// AppendWithheld appends what others get of a record that is not for them: its
// place. For what is damaged dst comes back as it was, with Corrupt.
func AppendWithheld(dst, record []byte) ([]byte, error) {
	r, ok := openRecord(record)
	if !ok {
		return dst, errDamaged
	}
	return AppendMarkedRecord(dst, r.seq, r.timeMS, RecordMark{Gone: GoneWithheld}, nil), nil
}

// AppendUnmarked appends a record as the sender of a shadow message gets it:
// without that flag. For what is damaged dst comes back as it was, with Corrupt.
func AppendUnmarked(dst, record []byte) ([]byte, error) {
	r, ok := openRecord(record)
	if !ok {
		return dst, errDamaged
	}
	r.mark.Shadow = false
	return AppendMarkedRecord(dst, r.seq, r.timeMS, r.mark, r.body), nil
}

// opened is a record taken apart.
type opened struct {
	seq    uint64
	timeMS int64
	mark   RecordMark
	body   []byte
}

// openRecord takes one whole record apart.
func openRecord(record []byte) (r opened, ok bool) {
	_, message, rest, ok := NextRecord(record)
	if !ok || len(rest) > 0 {
		return opened{}, false
	}
	seq, timeMS, marked, ok := recordPlace(message)
	if !ok {
		return opened{}, false
	}
	mark, body, ok := cutMark(marked)
	return opened{seq, timeMS, mark, body}, ok
}

// PlainBody reports whether a body begins as AppendBody begins one: else the
// record that it is put into would not read as it was written.
func PlainBody(body []byte) bool {
	if len(body) == 0 {
		return true
	}
	switch body[0] {
	case senderTag, nameTag, kindTag, textTag, dataTag:
		return true
	}
	return false
}
