package room

import (
	"encoding/binary"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// room is one room: its log, its keys, its members.
type room struct {
	name  string
	epoch uint64
	path  []byte // room key

	created, active int64 // created <= active <= the shard's time

	// The log. History holds first … head; keys of keys.first … head are
	// remembered; blocks reach back to the older of the two.
	//
	//	1 <= first <= head+1, 1 <= keys.first <= head+1
	//	head <= protocol.MaxSeq
	//	first, keys.first never go back
	first, head uint64
	bytes       uint64        // sum of sizes
	sizes       queue[uint32] // of records first … head
	keys        keys          // of records keys.first … head
	blocks      queue[blockInfo]

	// Rate: thousandths of a publish left at the time tokensAt.
	// 0 <= tokens <= 1000*publish_burst
	tokens, tokensAt int64

	// Members.
	edges      map[uint64]uint32 // sessions, > 0, by edge incarnation
	users      map[string]*user  // nil while countsOnly
	members    uint64            // sum of edges
	named      uint64            // sum of users' sessions
	countsOnly bool              // the roster limit was passed

	mod         *moderation  // of the name; nil when nothing is decided about it
	retractions *retractions // nil while there is none

	policy  *effective // nil until touched
	version uint64     // of the table that policy was resolved from
	print   uint64     // of policy

	due   int64 // when the room must be looked at
	timer int   // place in timers; -1 none

	entry roomEntry
}

// roomEntry is what happens to a room in the entry being applied.
type roomEntry struct {
	touched    bool
	policy     bool              // changed
	moderation *rpc.Moderation   // nil unless it changed
	renamed    bool              // or all names were dropped
	members    uint64            // before
	was        map[string]uint64 // sessions before, of the users that were stated
	block      *blockMaking      // nil while nothing was appended
}

// idle reports whether nothing keeps the room, and until when it is kept then.
func (r *room) idle() (until int64, ok bool) {
	if r.members > 0 || r.blocks.len() > 0 {
		return 0, false
	}
	return r.active + int64(r.policy.IdleMs), true
}

// nextDue is when something will have to be done even if nobody comes: the
// first full second after the earliest reason.
func (r *room) nextDue(now int64) int64 {
	at := never
	if r.first <= r.head {
		at = min(at, r.timeOf(r.first, now)+int64(r.policy.RetainAgeMs))
	}
	if r.keys.first <= r.head {
		at = min(at, r.timeOf(r.keys.first, now)+keyWindowMS)
	}
	if r.blocks.len() > 0 && r.blocks.at(0).last() < min(r.first, r.keys.first) {
		at = now // swept in part
	}
	if until, ok := r.idle(); ok {
		at = min(at, until)
	}
	if at == never {
		return never
	}
	if at < now {
		at = now // swept in part; soon again, but not at once
	}
	return (at/1000 + 1) * 1000
}

// MaxRooms bounds the rooms of a shard: idle, so many take less than a gigabyte
// of memory. One more is refused (overloaded).
const MaxRooms = 1 << 20

// makeRoom makes a room, or returns nil when the shard has MaxRooms.
func (s *Shard) makeRoom(name string) *room {
	if len(s.rooms) >= s.limits.rooms {
		return nil
	}
	r := &room{
		name: name, epoch: s.index, path: appendRoomKey(nil, s.index, name),
		created: s.time, active: s.time, first: 1, keys: keys{first: 1}, timer: -1, due: never,
		mod: s.moderated[name],
	}
	r.adopt(s.table)
	r.tokens, r.tokensAt = 1000*int64(r.policy.PublishBurst), s.time
	s.rooms[name] = r
	s.order.insert(r)
	return r
}

// adopt resolves the room's policy by a table and reports whether it changed.
func (r *room) adopt(t *table) bool {
	if r.policy != nil && r.version == t.version {
		return false
	}
	before := r.print
	r.policy = t.match(r.name)
	r.version, r.print = t.version, r.policy.print
	return before != r.print
}

// touch prepares a room for a change by the entry being applied.
func (s *Shard) touch(r *room) {
	if e := &r.entry; !e.touched {
		*e = roomEntry{touched: true, members: r.members}
		s.touched = append(s.touched, r)
	}
	if r.adopt(s.table) {
		r.entry.policy = true
	}
}

// storeRoom writes what of the room is not in other keys.
func (s *Shard) storeRoom(r *room) {
	k := append(append(s.key[:0], keyRoom), r.name...)
	v := machine.AppendSeal(s.value)
	for _, n := range []uint64{
		r.epoch, uint64(r.created), uint64(r.active), r.first, r.head, r.keys.first,
		uint64(r.tokens), uint64(r.tokensAt), r.version, uint64(r.due),
	} {
		v = binary.AppendUvarint(v, n)
	}
	v = binary.LittleEndian.AppendUint64(v, r.print)
	flags := byte(0)
	if r.countsOnly {
		flags = 1
	}
	v = append(v, flags)
	s.batch.Set(k, machine.CloseSeal(k, v))
	s.key, s.value = k, v
}

func (s *Shard) info(r *room) Info {
	var policy *rpc.Policy
	if r.policy != nil && r.version == s.table.version {
		policy = r.policy.Policy
	} else {
		policy = s.table.match(r.name).Policy
	}
	return Info{
		Room: r.name, Epoch: r.epoch, First: r.first, Head: r.head, Members: r.members, Bytes: r.bytes,
		CreatedMS: r.created, ActiveMS: r.active, Policy: policyOf(policy, r.mod), Moderation: r.mod.told(),
	}
}

// drop forgets an idle room: no members, no blocks, no keys.
func (s *Shard) drop(r *room) {
	delete(s.rooms, r.name)
	s.order.remove(r)
	s.timers.remove(r)
	s.batch.Delete(append([]byte{keyRoom}, r.name...))
	s.effects.Gone = append(s.effects.Gone, Gone{Room: r.name, Epoch: r.epoch})
}
