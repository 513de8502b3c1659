package hub

import (
	"bytes"
	"slices"

	"github.com/barrage-im/barrage/protocol"
)

// chunkOverhead is what a chunk costs beside its records, in bytes.
const chunkOverhead = 96

// A chunk is consecutive records as everybody gets them: as core sent them, but
// for shadow messages and for those that were retracted since.
type chunk struct {
	first   uint64
	ends    []uint32 // where each record ends in records
	records []byte
	shadows []shadow // of these records, ascending
}

func (c *chunk) last() uint64 { return c.first + uint64(len(c.ends)) - 1 }

func (c *chunk) size() int {
	return chunkOverhead + len(c.records) + 4*len(c.ends) + aside(c.shadows, 0, c.last())
}

// shadowOverhead is what a shadow costs beside its record, in bytes.
const shadowOverhead = 48

// aside is the bytes of the shadows in (after, to].
func aside(list []shadow, after, to uint64) (n int) {
	for i := range list {
		if s := &list[i]; s.seq > after && s.seq <= to {
			n += len(s.record) + len(s.sender) + shadowOverhead
		}
	}
	return n
}

// part returns the records after seq, at most to to.
func (c *chunk) part(after, to uint64) []byte {
	lo, hi := 0, len(c.records)
	if after >= c.first {
		lo = int(c.ends[after-c.first])
	}
	if to < c.last() {
		hi = int(c.ends[to-c.first])
	}
	return c.records[lo:hi]
}

// A tail is the newest records of a room, encoded once, for every member to
// read from its cursor. It holds (base, head], base <= head, without holes.
type tail struct {
	base, head uint64
	chunks     []chunk
	bytes      int
	count      int
}

// reset empties the tail; the next record is start+1.
func (t *tail) reset(start uint64) { *t = tail{base: start, head: start} }

// add appends consecutive records that begin at first. What the tail has
// already is skipped. It refuses a run with a hole before it (ok false, err
// nil) and one that is damaged.
func (t *tail) add(first uint64, count int, records []byte) (added int, ok bool, err error) {
	if first > t.head+1 {
		return 0, false, nil
	}
	ends := make([]uint32, 0, count)
	at, next := 0, first
	var shadows []shadow
	var retracted []uint64
	err = protocol.ForEachMarkedRecord(records, func(seq uint64, mark protocol.RecordMark, record []byte) bool {
		if seq != next {
			return false
		}
		next++
		at += len(record)
		ends = append(ends, uint32(at))
		if seq > t.head && mark.Shadow {
			shadows = append(shadows, shadow{seq, string(protocol.RecordSender(record)), bytes.Clone(record)})
		}
		if seq > t.head && mark.Retracts != 0 {
			retracted = append(retracted, mark.Retracts)
		}
		return true
	})
	if err != nil || len(ends) != count || at != len(records) {
		return 0, false, protocol.Errorf(protocol.Corrupt, "a block that begins at %d does not hold %d consecutive records", first, count)
	}
	if next-1 <= t.head {
		return 0, true, nil
	}
	if skip := t.head + 1 - first; skip > 0 {
		cut := ends[skip-1]
		records, ends, first = records[cut:], ends[skip:], t.head+1
		for i := range ends {
			ends[i] -= cut
		}
	}
	c := chunk{first: first, ends: ends, records: records}
	if err := c.withhold(shadows); err != nil {
		return 0, false, err
	}
	t.chunks = append(t.chunks, c)
	t.bytes += c.size()
	t.count += len(ends)
	t.head = c.last()
	for _, seq := range retracted {
		t.retract(seq)
	}
	return len(ends), true, nil
}

// withhold puts shadow messages aside and leaves their places.
func (c *chunk) withhold(shadows []shadow) (err error) {
	if len(shadows) == 0 {
		return nil
	}
	c.shadows = shadows
	out := make([]byte, 0, len(c.records))
	lo := uint32(0)
	for i, hi := range c.ends {
		if len(shadows) > 0 && shadows[0].seq == c.first+uint64(i) {
			if out, err = protocol.AppendWithheld(out, shadows[0].record); err != nil {
				return err
			}
			shadows = shadows[1:]
		} else {
			out = append(out, c.records[lo:hi]...)
		}
		lo, c.ends[i] = hi, uint32(len(out))
	}
	c.records = out
	return nil
}

// replace puts another record in the place of seq. The chunk gets bytes of its
// own: the old ones are core's.
func (c *chunk) replace(seq uint64, record []byte) {
	i := int(seq - c.first)
	lo, hi := 0, int(c.ends[i])
	if i > 0 {
		lo = int(c.ends[i-1])
	}
	out := make([]byte, 0, len(c.records)-(hi-lo)+len(record))
	out = append(append(append(out, c.records[:lo]...), record...), c.records[hi:]...)
	for j := i; j < len(c.ends); j++ {
		c.ends[j] += uint32(len(record)) - uint32(hi-lo)
	}
	c.records = out
}

// retract leaves of a record what history leaves of it: members that come later
// get its tombstone. Of a shadow message that is for those who saw it.
func (t *tail) retract(seq uint64) {
	if seq <= t.base || seq > t.head {
		return
	}
	c := &t.chunks[t.find(seq)]
	size := c.size()
	record := c.part(seq-1, seq)
	shadowed := slices.IndexFunc(c.shadows, func(s shadow) bool { return s.seq == seq })
	if shadowed >= 0 {
		record = c.shadows[shadowed].record
	}
	tombstone, err := protocol.AppendTombstone(nil, record)
	if err != nil {
		return // it was checked when it came
	}
	if shadowed >= 0 {
		c.shadows[shadowed].record = tombstone
	} else {
		c.replace(seq, tombstone)
	}
	t.bytes += c.size() - size
}

// shadows lists those in (after, to].
func (t *tail) shadows(after, to uint64) (list []shadow) {
	for i := t.find(after + 1); i < len(t.chunks) && t.chunks[i].first <= to; i++ {
		for _, s := range t.chunks[i].shadows {
			if s.seq > after && s.seq <= to {
				list = append(list, s)
			}
		}
	}
	return list
}

// trim drops the oldest chunks beyond the limits, but never one that holds a
// record after keep.
func (t *tail) trim(maxBytes, maxCount int, keep uint64) {
	n := 0
	for n < len(t.chunks) && (t.bytes > maxBytes || t.count > maxCount) && t.chunks[n].last() <= keep {
		c := &t.chunks[n]
		t.bytes -= c.size()
		t.count -= len(c.ends)
		t.base = c.last()
		*c = chunk{}
		n++
	}
	t.chunks = t.chunks[n:]
}

// covers says whether the tail holds everything after seq.
func (t *tail) covers(seq uint64) bool { return seq >= t.base }

// read copies the records of (after, to], at most about limit bytes but at
// least one record, and says which seq is the last of them. Shadow messages
// count with what those who see them get.
func (t *tail) read(after, to uint64, limit int) (records []byte, last uint64) {
	if to > t.head {
		to = t.head
	}
	unseen := 0
	for i := t.find(after + 1); i < len(t.chunks) && after < to; i++ {
		c := &t.chunks[i]
		part, more := c.part(after, to), aside(c.shadows, after, to)
		if len(records)+unseen+len(part)+more <= limit {
			records = append(records, part...)
			unseen += more
			after = min(c.last(), to)
			continue
		}
		for after < to && after < c.last() { // record by record
			one, more := c.part(after, after+1), aside(c.shadows, after, after+1)
			if len(records) > 0 && len(records)+unseen+len(one)+more > limit {
				break
			}
			records = append(records, one...)
			unseen += more
			after++
		}
		break
	}
	return records, after
}

// find returns the index of the chunk that holds seq.
func (t *tail) find(seq uint64) int {
	lo, hi := 0, len(t.chunks)
	for lo < hi {
		mid := (lo + hi) / 2
		if t.chunks[mid].last() < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
