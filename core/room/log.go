package room

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sort"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
)

// keyWindowMS is how long a key is remembered. A record's key is forgotten, and
// its bytes may go, when time > record time + keyWindowMS.
const keyWindowMS = int64(protocol.KeyWindow / 1e6)

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

// append adds a record to the room's block in the making; a nil mark says
// nothing.
func (r *room) append(now int64, h keyHash, bodyHash uint64, mark *protocol.RecordMark, body []byte) uint64 {
	r.head++
	m := r.entry.block
	m.count++
	before := len(m.records)
	if mark == nil {
		m.records = protocol.AppendRecord(m.records, r.head, now, body)
	} else {
		m.records = protocol.AppendMarkedRecord(m.records, r.head, now, *mark, body)
	}
	size := len(m.records) - before
	m.head = append(m.head, h[:]...)
	m.head = binary.LittleEndian.AppendUint64(m.head, bodyHash)

	r.sizes.push(uint32(size))
	r.bytes += uint64(size)
	r.keys.add(&h, bodyHash)
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

// lookup finds the publish under a key that still counts.
func (r *room) lookup(h keyHash, now int64) (seq, body uint64, at int64, ok bool) {
	if seq, body, ok = r.keys.find(&h); !ok {
		return 0, 0, 0, false
	}
	at = r.timeOf(seq, now)
	return seq, body, at, now <= at+keyWindowMS
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
	for budget > 0 && r.keys.len() > 0 {
		i := sort.Search(r.blocks.len(), func(i int) bool { return r.blocks.at(i).last() >= r.keys.first })
		block := r.blocks.at(i)
		if now <= block.time+keyWindowMS {
			break
		}
		r.keys.forget(int(block.last() + 1 - r.keys.first))
		budget--
	}
	for budget > 0 && r.blocks.len() > 0 {
		block := r.blocks.at(0)
		if block.last() >= min(r.first, r.keys.first) {
			break
		}
		b.Delete(binary.BigEndian.AppendUint64(append([]byte{keyBlock}, r.path...), block.first))
		r.forgetRetractions(b, *block)
		r.blocks.pop(1)
		budget--
	}
	return budget
}
