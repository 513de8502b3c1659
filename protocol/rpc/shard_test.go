package rpc_test

import (
	"testing"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// The shard of a room is where its log lies: this table never changes.
func TestShardOf(t *testing.T) {
	state := &rpc.ControlState{
		Placements: []*rpc.Placement{
			{Name: "default", Shards: []uint32{1, 2, 3, 4, 5, 6, 7, 8}},
			{Name: "eu", Shards: []uint32{9, 10}},
		},
		Policies: &rpc.Policies{Policies: []*rpc.Policy{
			{Pattern: "eu-*", Placement: "eu"}, {Pattern: "moon-*", Placement: "moon"}, {Pattern: "eu-*"},
		}},
	}
	for _, c := range []struct {
		room  string
		shard uint32
		ok    bool
	}{
		{"lobby", 4, true}, {"a", 5, true}, {"房间", 5, true}, {"eu-1", 10, true}, {"eu-2", 9, true}, {"moon-1", 0, false},
	} {
		shard, ok := rpc.ShardOf(state, c.room)
		if shard != c.shard || ok != c.ok {
			t.Errorf("ShardOf(%q) = %d, %t; want %d, %t", c.room, shard, ok, c.shard, c.ok)
		}
	}
	if _, ok := rpc.ShardOf(&rpc.ControlState{}, "lobby"); ok {
		t.Error("a cluster without placements has a shard for a room")
	}
}
