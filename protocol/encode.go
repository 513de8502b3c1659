package protocol

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/wire"
)

// All appenders below write whole frames as they follow one another on a
// connection: Proto with the length before it, JSON with a newline behind it.

var marshal = proto.MarshalOptions{Deterministic: true}

// cached is marshal after proto.Size has just been asked for the same message.
var cached = proto.MarshalOptions{Deterministic: true, UseCachedSize: true}

// AppendServer appends a frame from the server.
func AppendServer(dst []byte, enc Encoding, frame *wire.ServerFrame) []byte {
	return appendMessage(dst, enc, frame)
}

// AppendClient appends a frame from a client.
func AppendClient(dst []byte, enc Encoding, frame *wire.ClientFrame) []byte {
	return appendMessage(dst, enc, frame)
}

func appendMessage(dst []byte, enc Encoding, m proto.Message) []byte {
	if enc == JSON {
		return append(appendJSON(dst, m.ProtoReflect()), '\n')
	}
	dst = binary.AppendUvarint(dst, uint64(marshal.Size(m)))
	return mustMarshal(dst, m)
}

// mustMarshal appends m, whose size has just been taken.
func mustMarshal(dst []byte, m proto.Message) []byte {
	dst, err := cached.MarshalAppend(dst, m)
	if err != nil {
		// Strings come from decoders that refuse invalid UTF-8.
		panic("protocol: encode " + string(m.ProtoReflect().Descriptor().Name()) + ": " + err.Error())
	}
	return dst
}

// Field tags of ServerFrame and Batch, for the frames built around records.
const (
	idTag       = 1 << 3
	joinedTag   = 5<<3 | 2
	messagesTag = 8<<3 | 2
	batchTag    = 16<<3 | 2

	batchRoomTag    = 1<<3 | 2
	batchEpochTag   = 2<<3 | 2
	batchMergedTag  = 3 << 3
	batchDroppedTag = 4 << 3
)

// AppendBatch appends a batch push that carries a run of records. For Proto the
// records are copied as they are; for JSON a damaged run is an error (Corrupt)
// and dst comes back unchanged.
func AppendBatch(dst []byte, enc Encoding, room, epoch string, merged, dropped uint64, records []byte) ([]byte, error) {
	if enc == JSON {
		return appendBatchJSON(dst, room, epoch, merged, dropped, records)
	}
	return AppendBatchProto(dst, room, epoch, merged, dropped, records), nil
}

// AppendBatchProto is AppendBatch for Proto, which cannot fail.
func AppendBatchProto(dst []byte, room, epoch string, merged, dropped uint64, records []byte) []byte {
	size := fieldLen(len(room)) + fieldLen(len(epoch)) + numberLen(merged) + numberLen(dropped) + len(records)
	dst = binary.AppendUvarint(dst, uint64(protowire.SizeVarint(batchTag)+uvarintLen(uint64(size))+size))
	dst = binary.AppendUvarint(dst, batchTag)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = appendField(dst, batchRoomTag, room)
	dst = appendField(dst, batchEpochTag, epoch)
	dst = appendNumber(dst, batchMergedTag, merged)
	dst = appendNumber(dst, batchDroppedTag, dropped)
	return append(dst, records...)
}

// AppendJoined appends a joined reply whose messages are a run of records.
func AppendJoined(dst []byte, enc Encoding, id uint64, reply *wire.Joined, records []byte) ([]byte, error) {
	if enc == JSON {
		return appendReplyJSON(dst, id, "joined", reply, records)
	}
	return appendReplyProto(dst, id, joinedTag, reply, records), nil
}

// AppendMessages appends a messages reply whose messages are a run of records.
func AppendMessages(dst []byte, enc Encoding, id uint64, reply *wire.Messages, records []byte) ([]byte, error) {
	if enc == JSON {
		return appendReplyJSON(dst, id, "messages", reply, records)
	}
	return appendReplyProto(dst, id, messagesTag, reply, records), nil
}

// appendReplyProto puts records behind the other fields of reply: their tags
// are already in them.
func appendReplyProto(dst []byte, id uint64, tag byte, reply proto.Message, records []byte) []byte {
	size := marshal.Size(reply) + len(records)
	dst = binary.AppendUvarint(dst, uint64(numberLen(id)+1+uvarintLen(uint64(size))+size))
	dst = appendNumber(dst, idTag, id)
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = mustMarshal(dst, reply)
	return append(dst, records...)
}

// AppendClose appends the close frame for a code, without a hint where to go.
func AppendClose(dst []byte, enc Encoding, err *Error) []byte {
	return AppendServer(dst, enc, &wire.ServerFrame{Body: &wire.ServerFrame_Close{Close: &wire.Close{
		Code: uint32(err.Code), Name: err.Code.Name(), Message: err.Message,
	}}})
}

// AppendError appends the error reply to the command with this id.
func AppendError(dst []byte, enc Encoding, id uint64, err *Error) []byte {
	return AppendServer(dst, enc, &wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Error{Error: WireError(err)}})
}

// WireError is err as it goes over the wire.
func WireError(err *Error) *wire.Error {
	return &wire.Error{
		Code: uint32(err.Code), Name: err.Code.Name(), Message: err.Message, Temporary: err.Code.Temporary(),
		RetryAfterMs: uint64(max(err.RetryAfter, 0)), Seq: err.Seq, First: err.First, Head: err.Head, Epoch: err.Epoch,
	}
}

// FromWire is what WireError made of an Error.
func FromWire(e *wire.Error) *Error {
	return &Error{
		Code: Code(e.GetCode()), Message: e.GetMessage(), RetryAfter: int64(min(e.GetRetryAfterMs(), MaxSeq)),
		Seq: e.GetSeq(), First: e.GetFirst(), Head: e.GetHead(), Epoch: e.GetEpoch(),
	}
}

// fieldLen is what a string of n bytes takes under a tag below 16; an empty one
// is left out.
func fieldLen(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + uvarintLen(uint64(n)) + n
}

func numberLen(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + uvarintLen(v)
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), v)
}
