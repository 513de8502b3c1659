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
// ack-before-commit breaks "nothing acknowledged is lost" (C4): the leader
// applies and answers an entry as soon as its own log has it, without waiting
// for a majority.

var plantedAck = os.Getenv("BARRAGE_PLANT") == "ack-before-commit"

// early holds, by the first byte of an entry's payload, who waits for it.
var early sync.Map // *byte → chan any

// stashes hold what a leader has stored and not applied.
var stashes sync.Map // *Shard → *stash

// stash is used by the one goroutine of raft that writes a shard's log.
type stash struct{ logs []*raft.Log }

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
			if f.got = f.ApplyFuture.Response(); f.got == nil {
				f.got = <-f.effects // raft found it applied
			}
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

// plantedStored is told what our own log has just stored. Until the term's
// first entry is applied a leader keeps it: to apply it before what it follows
// would be another bug.
func plantedStored(s *Shard, logs []*raft.Log) {
	if !plantedAck {
		return
	}
	v, _ := stashes.LoadOrStore(s, &stash{})
	kept := v.(*stash)
	if !s.elected.Load() {
		kept.logs = nil
		return
	}
	for _, l := range logs {
		if l.Type == raft.LogCommand && len(l.Data) > 0 {
			kept.logs = append(kept.logs, l)
		}
	}
	if !s.leading.Load() || len(kept.logs) == 0 {
		return
	}
	for i, effects := range (fsm{s}).ApplyBatch(kept.logs) {
		waiting, ok := early.LoadAndDelete(&kept.logs[i].Data[0])
		if ok && effects != nil { // nil: raft was faster, and answers
			waiting.(chan any) <- effects
		}
	}
	kept.logs = nil
}
