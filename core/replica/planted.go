//go:build plantedbugs

package replica

import (
	"os"
	"sync"

	"github.com/hashicorp/raft"
)

// This file holds a bug, on purpose: the end-to-end check must find it. It is
// in no binary that is not built with the tag plantedbugs, and sleeps in those
// unless BARRAGE_PLANT asks for it.
//
// ack-before-commit: the leader applies and answers an entry as soon as its own
// log has it, without waiting for a majority.

var plantedAck = os.Getenv("BARRAGE_PLANT") == "ack-before-commit"

// early holds, by the first byte of an entry's payload, who waits for it.
var early sync.Map // *byte → chan any

type earlyFuture struct {
	raft.ApplyFuture
	effects chan any
	got     any
}

// Error waits for our own log or, if that is refused, for raft.
func (f *earlyFuture) Error() error {
	failed := make(chan error, 1)
	go func() { failed <- f.ApplyFuture.Error() }()
	select {
	case f.got = <-f.effects:
		return nil
	case err := <-failed:
		if err == nil {
			f.got = f.ApplyFuture.Response()
		}
		return err
	}
}

func (f *earlyFuture) Response() any { return f.got }

func plantedApply(s *Shard, payload []byte) raft.ApplyFuture {
	if !plantedAck {
		return s.raft.Apply(payload, 0)
	}
	effects := make(chan any, 1)
	early.Store(&payload[0], effects)
	return &earlyFuture{ApplyFuture: s.raft.Apply(payload, 0), effects: effects}
}

// plantedStored is told what the leader's own log has just stored.
func plantedStored(s *Shard, logs []*raft.Log) {
	if !plantedAck || !s.leading.Load() {
		return
	}
	for _, l := range logs {
		if l.Type != raft.LogCommand || len(l.Data) == 0 {
			continue
		}
		waiting, ok := early.LoadAndDelete(&l.Data[0])
		if !ok {
			continue
		}
		waiting.(chan any) <- fsm{s}.ApplyBatch([]*raft.Log{l})[0]
	}
}
