package protocol

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/wire"
)

// maxDepth bounds how deep a frame nests. The schema needs four levels (frame,
// joined, messages, message); the rest is room for fields of later versions.
const maxDepth = 16

var (
	unmarshal     = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}
	unmarshalJSON = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}
)

// DecodeClient reads a frame from a client, without its length or newline. An
// error is Malformed (nothing of the frame can be trusted), or Unsupported: the
// frame is well formed, its command is of a later version, and the frame
// returned beside the error holds its id. Unknown fields are ignored.
func DecodeClient(enc Encoding, frame []byte) (*wire.ClientFrame, error) {
	if len(frame) > MaxClientFrame {
		return nil, Errorf(TooLarge, "a frame of %d bytes; the limit is %d", len(frame), MaxClientFrame)
	}
	// Every field of ClientFrame but the id is a message.
	if enc == Proto && !noGroups(frame, 1) {
		return nil, Errorf(Malformed, "not a protobuf message")
	}
	f := new(wire.ClientFrame)
	if err := decode(enc, frame, f); err != nil {
		return nil, err
	}
	switch f.Command.(type) {
	case nil:
		return f, Errorf(Unsupported, "this version knows no such command")
	case *wire.ClientFrame_HeartbeatAck:
		return f, nil
	}
	if enc == JSON && f.Id > MaxSeq {
		return nil, Errorf(Malformed, "an id must not be larger than 2^53-1")
	}
	if f.Id == 0 {
		return nil, Errorf(Malformed, "a command must have an id other than 0")
	}
	return f, nil
}

// DecodeServer reads a frame from the server, without its length or newline. A
// frame whose body is of a later version comes back with Body nil: ignore it.
func DecodeServer(enc Encoding, frame []byte) (*wire.ServerFrame, error) {
	if len(frame) > MaxServerFrame {
		return nil, Errorf(TooLarge, "a frame of %d bytes; the limit is %d", len(frame), MaxServerFrame)
	}
	f := new(wire.ServerFrame)
	if err := decode(enc, frame, f); err != nil {
		return nil, err
	}
	return f, nil
}

func decode(enc Encoding, frame []byte, m proto.Message) error {
	if enc == JSON {
		if err := checkJSON(frame); err != nil {
			return err
		}
		if err := unmarshalJSON.Unmarshal(frame, m); err != nil {
			return Errorf(Malformed, "the JSON object does not fit the schema")
		}
		return nil
	}
	if err := unmarshal.Unmarshal(frame, m); err != nil {
		return Errorf(Malformed, "the protobuf message does not fit the schema")
	}
	return nil
}

// noGroups walks a message and the messages in it, levels deep. Groups, long
// gone from protobuf, are refused: they are what lets unknown fields nest as
// deep as they are long.
func noGroups(b []byte, levels int) bool {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 || kind == protowire.StartGroupType || kind == protowire.EndGroupType {
			return false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
			return false
		}
		if levels > 0 && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(b)
			if !noGroups(inner, levels-1) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}
