package core

import "github.com/barrage-im/barrage/core/replica"

// Shard is a shard's replica on this node.
func (c *Core) Shard(id uint32) *replica.Shard { return c.node.Shard(id) }
