package room

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"sort"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// keyWindowMS is how long a key is remembered. A record's key is forgotten, and
// its bytes may go, when time > record time + keyWindowMS.
const keyWindowMS = int64(protocol.KeyWindow / 1e6)

// room is one room: its log, its keys, its members.
type room struct {
	name  string
	epoch uint64
	path  []byte // room key

	created, active int64 // created <= active <= the shard's time

	// The log. History holds first … head; keys of keyFirst … head are
	// remembered; blocks reach back to the older of the two.
	//
	//	1 <= first <= head+1, 1 <= keyFirst <= head+1
	//	head <= protocol.MaxSeq
	//	first, keyFirst never go back
	first, head, keyFirst uint64
	bytes                 uint64          // sum of sizes
	sizes                 queue[uint32]   // of records first … head
	order                 queue[keyHash]  // of records keyFirst … head
	keys                  map[keyHash]key // len(keys) <= order.len()
	blocks                queue[blockInfo]

	// Rate: thousandths of a publish left at the time tokensAt.
	// 0 <= tokens <= 1000*publish_burst
	tokens, tokensAt int64

	// Members.
	edges      map[uint64]uint32 // sessions, > 0, by edge incarnation
	users      map[string]*user  // nil while countsOnly
	members    uint64            // sum of edges
	named      uint64            // sum of users' sessions
	countsOnly bool              // the roster limit was passed

	policy  *effective // nil until touched
	version uint64     // of the table that policy was resolved from
	print   uint64     // of policy

	due   int64 // when the room must be looked at
	timer int   // place in timers; -1 none

	entry roomEntry
}

// roomEntry is what happens to a room in the entry being applied.
type roomEntry struct {
	touched bool
	policy  bool              // changed
	renamed bool              // or all names were dropped
	members uint64            // before
	was     map[string]uint64 // sessions before, of the users that were stated
	block   *blockMaking      // nil while nothing was appended
}

// blockMaking is a block that the entry being applied appends to. The shard
// keeps the memory for the next one.
type blockMaking struct {
	first   uint64
	count   uint32
	head    []byte // hashes, as the stored block has them
	records []byte
}

// keyHash stands for (user, key): the first half of a SHA-256, because a user
// who could find collisions could swallow somebody else's messages.
type keyHash [16]byte

func hashKey(scratch, user, id []byte) (keyHash, []byte) {
	scratch = append(scratch[:0], byte(len(user)))
	scratch = append(append(scratch, user...), id...)
	sum := sha256.Sum256(scratch)
	return keyHash(sum[:16]), scratch
}

// key is what is remembered of a publish.
type key struct {
	seq  uint64
	body uint64
}

// hashBody tells the bodies of one (user, key) apart: two CRCs, which the
// processor computes at memory speed. Who collides them harms only himself.
func hashBody(body []byte) uint64 {
	return uint64(crc32.Checksum(body, castagnoli))<<32 | uint64(crc32.ChecksumIEEE(body))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockInfo is a stored block: the records that one entry appended.
type blockInfo struct {
	first uint64
	time  int64
	count uint32
}

func (b blockInfo) last() uint64 { return b.first + uint64(b.count) - 1 }

// A stored block is, sealed: first, time (8 bytes each), count (4), for each
// record its key hash and body hash (24), then the records.
const (
	blockHead   = 8 + 8 + 4
	blockRecord = 16 + 8
)

// append adds a record to the room's block in the making.
func (r *room) append(now int64, h keyHash, bodyHash uint64, body []byte) uint64 {
	r.head++
	m := r.entry.block
	m.count++
	before := len(m.records)
	m.records = protocol.AppendRecord(m.records, r.head, now, body)
	size := len(m.records) - before
	m.head = append(m.head, h[:]...)
	m.head = binary.LittleEndian.AppendUint64(m.head, bodyHash)

	r.sizes.push(uint32(size))
	r.bytes += uint64(size)
	r.order.push(h)
	if r.keys == nil {
		r.keys = make(map[keyHash]key)
	}
	r.keys[h] = key{r.head, bodyHash}
	r.active = now
	return r.head
}

// beginBlock gives the room a block to append to.
func (s *Shard) beginBlock(r *room) {
	m := &blockMaking{}
	if n := len(s.spare); n > 0 {
		m, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	m.first = r.head + 1
	r.entry.block = m
	s.appended = append(s.appended, r)
}

// closeBlock stores the room's block in the making.
func (s *Shard) closeBlock(r *room) {
	m := r.entry.block
	k := append(append(s.key[:0], keyBlock), r.path...)
	k = binary.BigEndian.AppendUint64(k, m.first)
	v := machine.AppendSeal(s.value)
	v = binary.LittleEndian.AppendUint64(v, m.first)
	v = binary.LittleEndian.AppendUint64(v, uint64(s.time))
	v = binary.LittleEndian.AppendUint32(v, m.count)
	v = append(append(v, m.head...), m.records...)
	s.batch.Set(k, machine.CloseSeal(k, v))
	s.key, s.value = k, v

	r.blocks.push(blockInfo{m.first, s.time, m.count})
	s.effects.Blocks = append(s.effects.Blocks, Block{
		Room: r.name, Epoch: r.epoch, First: m.first, Count: m.count,
		Records: bytes.Clone(m.records), CRC: protocol.CRC(m.records),
	})
	if len(s.spare) < maxSpare && cap(m.records) <= maxSpareBytes {
		*m = blockMaking{head: m.head[:0], records: m.records[:0]}
		s.spare = append(s.spare, m)
	}
	r.entry.block = nil
}

// What a shard keeps for the next blocks: 16 MiB at most.
const (
	maxSpare      = 128
	maxSpareBytes = 128 << 10
)

// timeOf is when seq was committed; seq must be in a block or just appended.
func (r *room) timeOf(seq uint64, now int64) int64 {
	n := r.blocks.len()
	i := sort.Search(n, func(i int) bool { return r.blocks.at(i).last() >= seq })
	if i == n {
		return now
	}
	return r.blocks.at(i).time
}

// lookup finds a key that is still remembered.
func (r *room) lookup(h keyHash, now int64) (k key, at int64, ok bool) {
	if k, ok = r.keys[h]; !ok {
		return k, 0, false
	}
	at = r.timeOf(k.seq, now)
	return k, at, now <= at+keyWindowMS
}

// trim moves first to where retention allows it. The messages are gone at once
// for readers; sweep removes the bytes.
func (r *room) trim(now int64) {
	p := r.policy
	n := 0 // records to drop
	if held := r.sizes.len(); held > int(p.RetainMessages) {
		n = held - int(p.RetainMessages)
	}
	for i := range n {
		r.bytes -= uint64(*r.sizes.at(i))
	}
	for ; r.bytes > p.RetainBytes; n++ {
		r.bytes -= uint64(*r.sizes.at(n))
	}
	oldest := now - int64(p.RetainAgeMs)
	for n < r.sizes.len() && r.timeOf(r.first+uint64(n), now) < oldest {
		i := sort.Search(r.blocks.len(), func(i int) bool { return r.blocks.at(i).time >= oldest })
		keep := r.head + 1
		if i < r.blocks.len() {
			keep = r.blocks.at(i).first
		}
		for ; r.first+uint64(n) < keep; n++ {
			r.bytes -= uint64(*r.sizes.at(n))
		}
	}
	if n > 0 {
		r.sizes.pop(n)
		r.first += uint64(n)
	}
}

// sweep forgets keys and deletes blocks whose time is over, at most budget
// blocks of either, and returns what is left of the budget.
func (r *room) sweep(b machine.Batch, now int64, budget int) int {
	for budget > 0 && r.order.len() > 0 {
		i := sort.Search(r.blocks.len(), func(i int) bool { return r.blocks.at(i).last() >= r.keyFirst })
		block := r.blocks.at(i)
		if now <= block.time+keyWindowMS {
			break
		}
		n := int(block.last() + 1 - r.keyFirst)
		for j := range n {
			h := *r.order.at(j)
			// A key that was used again since must stay; that some were shows
			// in there being fewer keys than records.
			if len(r.keys) == r.order.len()-j || r.keys[h].seq == r.keyFirst+uint64(j) {
				delete(r.keys, h)
			}
		}
		r.order.pop(n)
		r.keyFirst += uint64(n)
		budget--
	}
	if r.order.len() == 0 {
		r.keys = nil // a map keeps its largest size
	}
	for budget > 0 && r.blocks.len() > 0 {
		block := r.blocks.at(0)
		if block.last() >= min(r.first, r.keyFirst) {
			break
		}
		b.Delete(binary.BigEndian.AppendUint64(append([]byte{keyBlock}, r.path...), block.first))
		r.blocks.pop(1)
		budget--
	}
	return budget
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
	if r.keyFirst <= r.head {
		at = min(at, r.timeOf(r.keyFirst, now)+keyWindowMS)
	}
	if r.blocks.len() > 0 && r.blocks.at(0).last() < min(r.first, r.keyFirst) {
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
		created: s.time, active: s.time, first: 1, keyFirst: 1, timer: -1, due: never,
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
		r.epoch, uint64(r.created), uint64(r.active), r.first, r.head, r.keyFirst,
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
		CreatedMS: r.created, ActiveMS: r.active, Policy: policy,
	}
}
