package protocol

import (
	"encoding/binary"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
)

// A record is a committed message in the form that clients get: field 15 of
// barrage.v1.Batch (and of Joined and Messages), with tag and length. Core
// makes it once; edges copy it, never decode it for binary clients.
//
// A run of records is records one after the other. A body is the part of a
// message that does not depend on its place in the log: fields 3 to 7 of
// barrage.v1.Message. Edges make it, core puts seq, time and mark before it.

const (
	recordTag  = 15<<3 | 2 // 0x7a
	seqTag     = 1 << 3
	timeTag    = 2 << 3
	senderTag  = 3<<3 | 2
	nameTag    = 4<<3 | 2
	kindTag    = 5<<3 | 2
	textTag    = 6<<3 | 2
	dataTag    = 7<<3 | 2
	maxVarint  = 10
	recordHead = 1 + maxVarint // a record's tag and length
)

// RecordOverhead bounds what AppendRecord and AppendMarkedRecord add to a body,
// in bytes.
const RecordOverhead = recordHead + 3*(1+maxVarint) + 2 + len(GoneRetracted) + 2

// AppendBody appends the fields of a message that its publisher decides. Empty
// fields take no bytes.
func AppendBody[T string | []byte](dst []byte, sender, name string, kind, text T, data []byte) []byte {
	dst = appendField(dst, senderTag, sender)
	dst = appendField(dst, nameTag, name)
	dst = appendField(dst, kindTag, kind)
	dst = appendField(dst, textTag, text)
	return appendField(dst, dataTag, data)
}

// BodyHash tells the bodies of one (user, key) apart: two CRCs, which the
// processor computes at memory speed. Who collides them harms only himself. It
// is stored.
func BodyHash(body []byte) uint64 {
	return uint64(CRC(body))<<32 | uint64(crc32.ChecksumIEEE(body))
}

// BodySize is the bytes that AppendBody appends.
func BodySize[T string | []byte](sender, name string, kind, text T, data []byte) int {
	return fieldLen(len(sender)) + fieldLen(len(name)) + fieldLen(len(kind)) + fieldLen(len(text)) + fieldLen(len(data))
}

func appendField[T string | []byte](dst []byte, tag byte, value T) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// AppendRecord appends a committed message: seq and its time in Unix
// milliseconds before body. seq must not be 0.
func AppendRecord(dst []byte, seq uint64, timeMS int64, body []byte) []byte {
	return append(appendRecordHead(dst, seq, timeMS, len(body)), body...)
}

// appendRecordHead appends what stands before the rest bytes of mark and body.
func appendRecordHead(dst []byte, seq uint64, timeMS int64, rest int) []byte {
	size := 1 + uvarintLen(seq) + rest
	if timeMS != 0 {
		size += 1 + uvarintLen(uint64(timeMS))
	}
	dst = append(dst, recordTag)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = append(dst, seqTag)
	dst = binary.AppendUvarint(dst, seq)
	if timeMS != 0 {
		dst = append(dst, timeTag)
		dst = binary.AppendUvarint(dst, uint64(timeMS))
	}
	return dst
}

// NextRecord cuts the first record off a run. message is the record without tag
// and length; record is all of it. ok is false at the end of the run and where
// the run is damaged: then rest is not empty.
func NextRecord(run []byte) (record, message, rest []byte, ok bool) {
	if len(run) < 2 || run[0] != recordTag {
		return nil, nil, run, false
	}
	size, n := binary.Uvarint(run[1:])
	if n <= 0 || size > uint64(len(run)-1-n) {
		return nil, nil, run, false
	}
	end := 1 + n + int(size)
	return run[:end:end], run[1+n : end : end], run[end:], true
}

// recordPlace reads a message's seq and time, which AppendRecord puts first;
// rest is mark and body.
func recordPlace(message []byte) (seq uint64, timeMS int64, rest []byte, ok bool) {
	if len(message) == 0 || message[0] != seqTag {
		return 0, 0, message, false
	}
	seq, n := binary.Uvarint(message[1:])
	if n <= 0 || seq == 0 {
		return 0, 0, message, false
	}
	rest = message[1+n:]
	if len(rest) > 0 && rest[0] == timeTag {
		t, n := binary.Uvarint(rest[1:])
		if n <= 0 {
			return 0, 0, message, false
		}
		timeMS, rest = int64(t), rest[1+n:]
	}
	return seq, timeMS, rest, true
}

// ForEachRecord visits a run's records until visit returns false. record has
// tag and length and is part of records. An error is Corrupt: the run is
// damaged at the place the visits reached.
func ForEachRecord(records []byte, visit func(seq uint64, timeMS int64, record []byte) bool) error {
	for len(records) > 0 {
		record, message, rest, ok := NextRecord(records)
		if !ok {
			return errDamaged
		}
		seq, timeMS, _, ok := recordPlace(message)
		if !ok {
			return errDamaged
		}
		if !visit(seq, timeMS, record) {
			return nil
		}
		records = rest
	}
	return nil
}

var errDamaged = Errorf(Corrupt, "a run of records is damaged")

// RecordSeq returns the seq of a run's first record, or 0.
func RecordSeq(records []byte) uint64 {
	_, message, _, ok := NextRecord(records)
	if !ok {
		return 0
	}
	seq, _, _, _ := recordPlace(message)
	return seq
}

// SplitAtSeq cuts a run before its first record with seq or more.
func SplitAtSeq(records []byte, seq uint64) (before, from []byte, err error) {
	at := 0
	err = ForEachRecord(records, func(s uint64, _ int64, record []byte) bool {
		if s >= seq {
			return false
		}
		at += len(record)
		return true
	})
	return records[:at:at], records[at:], err
}

// SplitAtSize cuts off as many whole records as fit into size bytes, but at
// least one, and says how many.
func SplitAtSize(records []byte, size int) (head, rest []byte, count int, err error) {
	at := 0
	err = ForEachRecord(records, func(_ uint64, _ int64, record []byte) bool {
		if at+len(record) > size && at > 0 {
			return false
		}
		at += len(record)
		count++
		return true
	})
	return records[:at:at], records[at:], count, err
}

// A body's fields by their number in barrage.v1.Message; parts of the message.
type bodyFields [8][]byte

// parseBody reads a message's fields 3 to 7 and skips what it does not know. As
// in every protobuf decoder, the last of several equal fields counts.
func parseBody(body []byte, fields *bodyFields) bool {
	for len(body) > 0 {
		num, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return false
		}
		body = body[n:]
		n = protowire.ConsumeFieldValue(num, kind, body)
		if n < 0 {
			return false
		}
		if kind == protowire.BytesType && int(num) < len(fields) {
			fields[num], _ = protowire.ConsumeBytes(body)
		}
		body = body[n:]
	}
	return true
}
