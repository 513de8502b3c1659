package rpc

import (
	"hash/fnv"

	"github.com/barrage-im/barrage/protocol"
)

// DefaultPlacement is where rooms live whose policy names no placement.
const DefaultPlacement = "default"

// MatchPolicy returns the first policy whose pattern covers room, or nil: then
// the built-in default holds.
func MatchPolicy(policies []*Policy, room string) *Policy {
	for _, p := range policies {
		if protocol.MatchPattern(p.GetPattern(), room) {
			return p
		}
	}
	return nil
}

// ShardOf says which shard a room belongs to: the one its name hashes to
// (FNV-1a, 64 bits, modulo their number) of the placement its policy names. It
// is false when state has no such placement.
func ShardOf(state *ControlState, room string) (shard uint32, ok bool) {
	name := MatchPolicy(state.GetPolicies().GetPolicies(), room).GetPlacement()
	if name == "" {
		name = DefaultPlacement
	}
	for _, p := range state.GetPlacements() {
		if p.GetName() == name && len(p.GetShards()) > 0 {
			h := fnv.New64a()
			h.Write([]byte(room))
			return p.GetShards()[h.Sum64()%uint64(len(p.GetShards()))], true
		}
	}
	return 0, false
}
