package coretest

import (
	"crypto/sha256"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// chunkBytes is what a bundle comes in.
const chunkBytes = 1000

// PutBundle stores a bundle and returns its digest.
func (c *Core) PutBundle(data []byte) []byte {
	sum := sha256.Sum256(data)
	c.change(func() {
		if c.bundles == nil {
			c.bundles = map[string][]byte{}
		}
		c.bundles[string(sum[:])] = data
	})
	return sum[:]
}

// PutFilters replaces the sets of rules.
func (c *Core) PutFilters(sets ...*rpc.FilterSet) {
	c.change(func() {
		c.filters = sets
		c.restate(c.state.GetEdges(), c.state.GetPolicies())
	})
}

// FetchFilter implements rpc.CoreServer.
func (c *Core) FetchFilter(req *rpc.FetchFilterRequest, stream grpc.ServerStreamingServer[rpc.FilterChunk]) error {
	c.mu.Lock()
	data, ok := c.bundles[string(req.GetDigest())]
	c.mu.Unlock()
	if !ok {
		return status.Error(codes.NotFound, "no such bundle")
	}
	for len(data) > 0 {
		n := min(chunkBytes, len(data))
		if err := stream.Send(&rpc.FilterChunk{Data: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// Messages are those of a room as they lie in the log, oldest first.
func (c *Core) Messages(name string) (list []*wire.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rooms[name]
	if r == nil {
		return nil
	}
	for _, record := range r.records {
		m := &wire.Message{}
		if _, b, _, ok := protocol.NextRecord(record); !ok || proto.Unmarshal(b, m) != nil {
			m.Text = "(damaged)"
		}
		list = append(list, m)
	}
	return list
}
