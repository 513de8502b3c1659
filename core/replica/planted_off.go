//go:build !plantedbugs

package replica

import "github.com/hashicorp/raft"

func plantedAckBeforeCommit() bool { return false }

func ackEarly(_ *Shard, f raft.ApplyFuture, _ int) raft.ApplyFuture { return f }
