// Package room is the pure state machine of one shard: its rooms, their logs,
// who is in them, which publishes were seen before, which edges are alive.
//
// No clock, no I/O, no goroutine, no lock, no randomness: time comes with the
// entries, and the same entries give the same bytes everywhere.
package room

import (
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Effects is what one entry did, for those who wait for it (the lanes) and
// those who watch (the feeds). Apply returns a *Effects, which is nobody's but
// the receiver's afterwards.
type Effects struct {
	Time     int64           // the log's clock after the entry, Unix milliseconds
	Sections []SectionResult // as in the entry
	Blocks   []Block         // at most one a room, in the order of the first append
	Updates  []Update        // at most one a room
	Gone     []Gone          // of rooms that nothing above names
}

// SectionResult answers one section of the entry.
type SectionResult struct {
	Edge       uint64
	Generation uint64
	First      uint64
	// Reset is not OK when the section was fenced off or its lane is unknown:
	// then nothing of it was applied and Results is nil.
	Reset   protocol.Code
	Results []*rpc.Result // one for each command
}

// Block is consecutive messages appended to one room, encoded as field 15 of
// barrage.v1.Batch, repeated.
type Block struct {
	Room    string
	Epoch   uint64
	First   uint64
	Count   uint32
	Records []byte // shared, never changed
	CRC     uint32 // CRC-32C of Records
}

// Update says that a room's member count, roster, policy or moderation changed.
// A new policy table reaches a room when it is next touched, and is told then.
type Update struct {
	Room         string
	Epoch        uint64
	Members      uint64
	Joined, Left []*rpc.UserPresence // only where the policy asks for it, at most MaxPresenceEvents each
	Policy       *rpc.Policy         // effective, with the moderators' slow mode; nil unless it changed
	Moderation   *rpc.Moderation     // all of it; nil unless it changed, empty when nothing is left
}

// Gone says that an idle room was dropped.
type Gone struct {
	Room  string
	Epoch uint64
}

// Info is what a room is at the moment.
type Info struct {
	Room      string
	Epoch     uint64 // index of the entry that made it
	First     uint64 // oldest seq that history holds; First = Head+1 when it holds none
	Head      uint64 // newest seq; 0 when nothing was published yet
	Members   uint64 // sessions on all edges
	Bytes     uint64 // of retained records
	CreatedMS int64
	ActiveMS  int64
	Policy    *rpc.Policy // effective, defaults filled in, with the moderators' slow mode; shared, read only
	// Moderation is what moderators decided about the name; nil when nothing.
	// Shared, read only.
	Moderation *rpc.Moderation
}
