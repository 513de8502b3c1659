package hub

import (
	"github.com/barrage-im/barrage/protocol"
)

// chunkOverhead is what a chunk costs beside its records, in bytes.
const chunkOverhead = 96

// A chunk is consecutive records as core sent them.
type chunk struct {
	first   uint64
	ends    []uint32 // where each record ends in records
	records []byte
}

func (c *chunk) last() uint64 { return c.first + uint64(len(c.ends)) - 1 }

func (c *chunk) size() int { return chunkOverhead + len(c.records) + 4*len(c.ends) }

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
	err = protocol.ForEachRecord(records, func(seq uint64, _ int64, record []byte) bool {
		if seq != next {
			return false
		}
		next++
		at += len(record)
		ends = append(ends, uint32(at))
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
	t.chunks = append(t.chunks, c)
	t.bytes += c.size()
	t.count += len(ends)
	t.head = c.last()
	return len(ends), true, nil
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
// least one record, and says which seq is the last of them.
func (t *tail) read(after, to uint64, limit int) (records []byte, last uint64) {
	if to > t.head {
		to = t.head
	}
	for i := t.find(after + 1); i < len(t.chunks) && after < to; i++ {
		c := &t.chunks[i]
		part := c.part(after, to)
		if len(records)+len(part) <= limit {
			records = append(records, part...)
			after = min(c.last(), to)
			continue
		}
		for after < to && after < c.last() { // record by record
			one := c.part(after, after+1)
			if len(records) > 0 && len(records)+len(one) > limit {
				break
			}
			records = append(records, one...)
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
