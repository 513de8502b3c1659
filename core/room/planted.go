//go:build plantedbugs

package room

import "os"

// This file holds bugs, on purpose: the end-to-end check must find them. They
// are in no binary that is not built with the tag plantedbugs, and sleep in
// those unless BARRAGE_PLANT asks for one.
//
// forget-keys breaks "exactly once" (C2): deduplication is not part of the
// stored state, so that after a restart, or with a snapshot from a peer, a
// publish that is tried again is appended again.
//
// reuse-seq breaks "one message for a seq" (C1) and with it "nothing
// acknowledged is lost" (C4): a loaded room has forgotten its newest block, and
// gives its seqs to the messages that come next.
var (
	plantForget = os.Getenv("BARRAGE_PLANT") == "forget-keys"
	plantReuse  = os.Getenv("BARRAGE_PLANT") == "reuse-seq"
)

// plantedForget says that a loaded room must not know its keys.
func plantedForget() bool { return plantForget }

// plantedReuse takes the newest block off every loaded room that has two.
func plantedReuse(s *Shard) {
	if !plantReuse {
		return
	}
	for _, r := range s.rooms {
		if r.blocks.len() < 2 || r.blocks.at(r.blocks.len()-1).first < max(r.first, r.keys.first) {
			continue
		}
		r.forgetNewest()
	}
}

func (r *room) forgetNewest() {
	newest := *r.blocks.at(r.blocks.len() - 1)
	for range newest.count {
		r.bytes -= uint64(*r.sizes.at(r.sizes.len() - 1))
		r.keys.clear(r.keys.at(r.head), r.head)
		r.keys.kept.items = r.keys.kept.items[:len(r.keys.kept.items)-1]
		r.sizes.items = r.sizes.items[:len(r.sizes.items)-1]
		r.head--
	}
	r.blocks.items = r.blocks.items[:len(r.blocks.items)-1]
}
