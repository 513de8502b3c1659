package upstream

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// encode makes the bytes of one command. Marshalling our own messages cannot
// fail unless a string is not UTF-8, which sessions and names exclude.
func encode(c *rpc.Command) []byte {
	b, err := proto.Marshal(c)
	if err != nil {
		panic("upstream: command that does not encode: " + err.Error())
	}
	return b
}

func encodeLease(edge, region string, ttlMS uint32) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: edge, Region: region, TtlMs: ttlMS}}})
}

// encodePublish writes rpc.Command{Publish} field by field: it is the hot path,
// and generated code allocates five times for it. The test holds it to what
// generated code reads.
func encodePublish(p *Publish, m *Message) []byte {
	body := protocol.BodySize(m.User, m.Name, m.Kind, m.Text, m.Data)
	size := protowire.SizeBytes(len(p.Room)) + protowire.SizeBytes(len(m.User)) + protowire.SizeBytes(len(m.Key)) +
		protowire.SizeBytes(body) + 4*tagSize
	size += sizeNumber(uint64(p.DeadlineMS)) + sizeNumber(uint64(m.Rank)) + sizeNumber(uint64(m.Verdict)) + sizeNumber(m.Rules) + sizeNumber(m.Origin)
	b := make([]byte, 0, tagSize+protowire.SizeBytes(size))
	b = protowire.AppendTag(b, 2, protowire.BytesType) // Command.publish
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), p.Room)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), m.User)
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), m.Key)
	b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.BytesType), uint64(body))
	b = protocol.AppendBody(b, m.User, m.Name, m.Kind, m.Text, m.Data)
	b = appendNumber(b, 5, uint64(p.DeadlineMS))
	b = appendNumber(b, 6, uint64(m.Rank))
	b = appendNumber(b, 7, uint64(m.Verdict))
	b = appendNumber(b, 8, m.Rules)
	return appendNumber(b, 9, m.Origin)
}

func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return tagSize + protowire.SizeVarint(v)
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// tagSize is that of every field of rpc.Publish: their numbers are below 16.
const tagSize = 1

func encodePresence(rooms []*rpc.RoomPresence) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Presence{Presence: &rpc.Presence{Rooms: rooms}}})
}

func encodeModerate(m *rpc.Moderate) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Moderate{Moderate: m}})
}

func encodeRelease(room string) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Release{Release: &rpc.Release{Rooms: []string{room}}}})
}
