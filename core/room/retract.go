package room

import (
	"crypto/sha256"
	"encoding/binary"
	"sort"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A retraction is a message of the room's log that names an earlier one. The
// stored block of that one stays as it is; a tombstone of its own says that
// history must not show the content. It goes with the block, not before, so
// that a reader who still finds the block finds it too.

// retractions are those of one room; rooms without any have none of this.
type retractions struct {
	by   map[uint64]uint64 // seq of the retracting message, by the retracted one's; what the blocks hold
	said queue[uint64]     // seqs of messages that retract, ascending; what the blocks hold

	loaded int // tombstones that Load found for by
}

// retractedBy returns the message that took one back.
func (r *room) retractedBy(seq uint64) (by uint64, ok bool) {
	if r.retractions == nil {
		return 0, false
	}
	by, ok = r.retractions.by[seq]
	return by, ok
}

// retracts reports whether a message takes another one back.
func (r *room) retracts(seq uint64) bool {
	if r.retractions == nil {
		return false
	}
	q := &r.retractions.said
	i := sort.Search(q.len(), func(i int) bool { return *q.at(i) >= seq })
	return i < q.len() && *q.at(i) == seq
}

// tookBack notes that message by took another one back.
func (r *room) tookBack(seq, by uint64) {
	if r.retractions == nil {
		r.retractions = &retractions{by: make(map[uint64]uint64)}
	}
	r.retractions.by[seq] = by
	r.retractions.said.push(by)
}

// retract appends the message that takes another one back.
func (s *Shard) retract(m *rpc.Moderate, res *rpc.Result) protocol.Code {
	r := s.rooms[m.Room]
	if r == nil {
		return protocol.NotFound
	}
	if by, ok := r.retractedBy(m.Seq); ok {
		res.Seq, res.TimeMs, res.Duplicate = by, r.timeOf(by, s.time), true
		return protocol.OK
	}
	switch {
	case m.Seq == 0 || r.retracts(m.Seq):
		return protocol.BadArgument
	case m.Seq > r.head:
		return protocol.Future
	case m.Seq < r.first:
		return protocol.Trimmed
	case m.DeadlineMs != 0 && s.time > m.DeadlineMs:
		return protocol.Expired
	case r.head >= protocol.MaxSeq:
		return protocol.Overloaded
	case r.keys.len() >= s.limits.keys:
		res.RetryAfterMs = uint64(s.keysWait(r))
		return protocol.KeysFull
	}
	s.touch(r)
	if r.entry.block == nil {
		s.beginBlock(r)
	}
	body := protocol.AppendBody(nil, m.Actor, m.Name, "", m.Reason, nil)
	mark := protocol.RecordMark{Retracts: m.Seq}
	res.Seq = r.append(s.time, hashRetraction(r.epoch, m.Seq), protocol.BodyHash(body), &mark, body)
	r.tookBack(m.Seq, res.Seq)
	s.put(tombstoneKey(r.path, m.Seq), uvarint(res.Seq))
	s.record(m)
	return protocol.OK
}

// hashRetraction is what stands for a retraction among the room's keys: one for
// each message of a log, and no user's, since those begin with the length of a
// name that is not empty.
func hashRetraction(epoch, seq uint64) keyHash {
	b := append(make([]byte, 0, 32), "\x00retract"...)
	b = binary.BigEndian.AppendUint64(b, epoch)
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, seq))
	return keyHash(sum[:16])
}

func tombstoneKey(path []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{keyTombstone}, path...), seq)
}

// forgetRetractions lets go of what a block that is being deleted was the last
// to need.
func (r *room) forgetRetractions(b machine.Batch, block blockInfo) {
	x := r.retractions
	if x == nil {
		return
	}
	found := false
	for seq := block.first; seq <= block.last() && len(x.by) > 0; seq++ {
		if _, ok := x.by[seq]; ok {
			delete(x.by, seq)
			found = true
		}
	}
	if found {
		b.DeleteRange(tombstoneKey(r.path, block.first), tombstoneKey(r.path, block.last()+1))
	}
	x.said.pop(sort.Search(x.said.len(), func(i int) bool { return *x.said.at(i) > block.last() }))
	if len(x.by) == 0 && x.said.len() == 0 {
		r.retractions = nil
	}
}

// loadRetraction takes up what a stored record retracts; loadTombstone checks
// that history knows.
func (r *room) loadRetraction(seq, retracts uint64) {
	if retracts >= r.blocks.at(0).first {
		r.tookBack(retracts, seq)
		return
	}
	if r.retractions == nil {
		r.retractions = &retractions{by: make(map[uint64]uint64)}
	}
	r.retractions.said.push(seq)
}

func (s *Shard) loadTombstone(k, v []byte) bool {
	epoch, name, rest, ok := cutRoomKey(k)
	r := s.rooms[string(name)]
	if !ok || r == nil || r.epoch != epoch || len(rest) != 8 {
		return false
	}
	f := fields{b: v}
	by, ok := r.retractedBy(binary.BigEndian.Uint64(rest))
	if !ok || by != f.uvarint() || f.bad {
		return false
	}
	r.retractions.loaded++
	return true
}

// bury replaces the records of a page that were retracted by what is left of
// them, as the same snapshot knows.
func bury(r machine.Reader, info Info, page *Page) *protocol.Error {
	if page.Count == 0 {
		return nil
	}
	path := appendRoomKey(nil, info.Epoch, info.Room)
	gone := map[uint64]bool(nil)
	var bad *protocol.Error
	err := r.Scan(tombstoneKey(path, page.Start), tombstoneKey(path, page.Start+uint64(page.Count)), false, func(k, v []byte) bool {
		seq := binary.BigEndian.Uint64(k[len(k)-8:])
		if _, err := machine.OpenSeal(k, v); err != nil {
			bad = damaged(info, seq)
			return false
		}
		if gone == nil {
			gone = make(map[uint64]bool)
		}
		gone[seq] = true
		return true
	})
	if err != nil {
		return protocol.Errorf(protocol.Unavailable, "read history: %v", err)
	}
	if bad != nil || gone == nil {
		return bad
	}
	records := make([]byte, 0, len(page.Records))
	err = protocol.ForEachRecord(page.Records, func(seq uint64, _ int64, record []byte) bool {
		if !gone[seq] {
			records = append(records, record...)
			return true
		}
		var err error
		if records, err = protocol.AppendTombstone(records, record); err != nil {
			bad = damaged(info, seq)
		}
		return bad == nil
	})
	if err != nil && bad == nil {
		bad = damaged(info, page.Start)
	}
	page.Records = records
	return bad
}
