// Package room is the pure state machine of one shard: its rooms, their logs,
// who is in them, which publishes were seen before, which edges are alive.
//
// No clock, no I/O, no goroutine, no randomness: time comes with the entries.
package room

import (
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Effects is what one entry did, for those who wait for it (the lanes) and
// those who watch (the feeds).
type Effects struct {
	Time     int64 // the log's clock after the entry, Unix milliseconds
	Sections []SectionResult
	Blocks   []Block
	Updates  []Update
	Gone     []Gone
}

// SectionResult answers one section of the entry.
type SectionResult struct {
	Edge       uint64
	Generation uint64
	First      uint64
	// Reset is not OK when the section was fenced off or its lane is unknown:
	// then nothing of it was applied and Results is nil.
	Reset   protocol.Code
	Results []*rpc.Result
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

// Update says that a room's member count, roster or policy changed.
type Update struct {
	Room         string
	Epoch        uint64
	Members      uint64
	Joined, Left []*rpc.UserPresence // only where the policy asks for it
	Policy       *rpc.Policy         // effective; nil unless it changed
}

// Gone says that an idle room was dropped.
type Gone struct {
	Room  string
	Epoch uint64
}

// Info is what a room is at the moment.
type Info struct {
	Room      string
	Epoch     uint64
	First     uint64 // oldest seq that history holds; First = Head+1 when it holds none
	Head      uint64 // newest seq; 0 when nothing was published yet
	Members   uint64 // sessions on all edges
	Bytes     uint64 // of retained records
	CreatedMS int64
	ActiveMS  int64
	Policy    *rpc.Policy // effective, defaults filled in; shared, read only
}

// The rest of this package's door, kept as comments until it is written:
//
//	func New(shard uint32) *Shard                       // implements machine.Machine
//	func (s *Shard) Info(room string) (Info, bool)
//	func (s *Shard) List(after string, limit int, match func(string) bool) []Info
//	func (s *Shard) Members(room, cursor string, limit int) (users []*rpc.UserPresence, next string, total uint64, countsOnly, ok bool)
//	func (s *Shard) PoliciesVersion() uint64
//	func (s *Shard) Time() int64
//	func (s *Shard) Len() int
//	func History(r machine.Reader, info Info, from uint64, limit, maxBytes int, reverse bool) (Page, *protocol.Error)
//	type Page struct { Start uint64; Count uint32; Records []byte; CRC uint32; More bool }
//	func AppendEntry(dst []byte, timeMS int64, sections []byte) []byte  // format byte, CRC-32C, rpc.Entry; sections are encoded rpc.Section, each with its field tag (AppendSection)
//	func AppendSection(dst []byte, edge, generation, first uint64, commands [][]byte) []byte
//	func EffectivePolicy(p *rpc.Policy) *rpc.Policy
//	func MatchPolicy(policies []*rpc.Policy, room string) *rpc.Policy
