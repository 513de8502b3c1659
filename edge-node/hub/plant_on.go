//go:build plantedbugs

package hub

import (
	"os"
	"sync/atomic"

	"github.com/barrage-im/barrage/protocol"
)

// Faults that the checker of histories must find. They exist in builds with
// the tag plantedbugs only.
var (
	planted = os.Getenv("BARRAGE_PLANT")
	flushes atomic.Uint64
	resumes atomic.Uint64
)

// plantReorder swaps the first two messages of every eighth flush that has two.
func plantReorder(records []byte) []byte {
	if planted != "reorder-fanout" {
		return records
	}
	first, _, rest, ok := protocol.NextRecord(records)
	if !ok {
		return records
	}
	second, _, rest, ok := protocol.NextRecord(rest)
	if !ok || flushes.Add(1)%8 != 0 {
		return records
	}
	out := make([]byte, 0, len(records))
	out = append(append(out, second...), first...)
	return append(out, rest...)
}

// plantLostTail lets every fourth resume from the tail skip one message.
func plantLostTail(since uint64) uint64 {
	if planted != "lost-tail-on-resume" || resumes.Add(1)%4 != 0 {
		return since
	}
	return since + 1
}
