package upstream

import (
	"google.golang.org/protobuf/proto"

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

func encodePublish(p *Publish) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
		Room: p.Room, User: p.User, Key: p.Key, Body: p.Body, DeadlineMs: p.DeadlineMS,
	}}})
}

func encodePresence(rooms []*rpc.RoomPresence) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Presence{Presence: &rpc.Presence{Rooms: rooms}}})
}

func encodeRelease(room string) []byte {
	return encode(&rpc.Command{Op: &rpc.Command_Release{Release: &rpc.Release{Rooms: []string{room}}}})
}
