package client

import (
	"encoding/binary"
	"net/url"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// codec writes and reads frames in the encoding of one connection.
type codec struct {
	enc protocol.Encoding
}

// newCodec: JSON exists on WebSocket only.
func newCodec(endpoint string, json bool) codec {
	u, err := url.Parse(endpoint)
	if json && err == nil && (u.Scheme == "ws" || u.Scheme == "wss") {
		return codec{enc: protocol.JSON}
	}
	return codec{enc: protocol.Proto}
}

func (c codec) append(dst []byte, f *wire.ClientFrame) []byte {
	return protocol.AppendClient(dst, c.enc, f)
}

func (c codec) decode(raw []byte) (*wire.ServerFrame, error) {
	return protocol.DecodeServer(c.enc, raw)
}

// Field numbers of ClientFrame and Publish.
const (
	frameID      = 1
	framePublish = 6

	publishRoom    = 1
	publishKey     = 2
	publishKind    = 3
	publishText    = 4
	publishData    = 5
	publishOrder   = 6
	publishTimeout = 7
)

// appendPublish is append for the one command that is sent a hundred thousand
// times a second: no message is built for it.
func (c codec) appendPublish(dst []byte, id uint64, room string, m *Message, order uint64, timeoutMS uint32) []byte {
	if c.enc == protocol.JSON {
		return c.append(dst, &wire.ClientFrame{Id: id, Command: &wire.ClientFrame_Publish{Publish: &wire.Publish{
			Room: room, Key: m.Key, Kind: m.Kind, Text: m.Text, Data: m.Data, Order: order, TimeoutMs: timeoutMS,
		}}})
	}
	// All tags are one byte.
	body := sizeString(room) + sizeString(m.Key) + sizeString(m.Kind) + sizeString(m.Text) + sizeString(m.Data) +
		1 + protowire.SizeVarint(order) + 1 + protowire.SizeVarint(uint64(timeoutMS))
	size := 1 + protowire.SizeVarint(id) + 1 + protowire.SizeBytes(body)

	dst = binary.AppendUvarint(dst, uint64(size))
	dst = appendVarint(dst, frameID, id)
	dst = append(dst, framePublish<<3|byte(protowire.BytesType))
	dst = binary.AppendUvarint(dst, uint64(body))
	dst = appendString(dst, publishRoom, room)
	dst = appendString(dst, publishKey, m.Key)
	dst = appendString(dst, publishKind, m.Kind)
	dst = appendString(dst, publishText, m.Text)
	dst = appendString(dst, publishData, m.Data)
	dst = appendVarint(dst, publishOrder, order)
	return appendVarint(dst, publishTimeout, uint64(timeoutMS))
}

func sizeString[T string | []byte](s T) int {
	if len(s) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendString[T string | []byte](dst []byte, field byte, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = append(dst, field<<3|byte(protowire.BytesType))
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendVarint(dst []byte, field byte, v uint64) []byte {
	return binary.AppendUvarint(append(dst, field<<3|byte(protowire.VarintType)), v)
}
