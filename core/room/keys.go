package room

import "hash/maphash"

// keys is what a room remembers of publishes: their keys in the order of their
// seqs, to be forgotten in that order, and found by key. A key that was
// published again, after it was too old to count, is found as the newer one.
//
// It is an open-addressing table of eight bytes a slot over the queue, so that
// one look at memory tells that a key is new.
type keys struct {
	first uint64            // seq of the oldest; the others follow without a hole
	kept  queue[remembered] // at most 1<<slotSeqBits
	slots []uint64          // a power of two, at most three quarters used; nil while empty
	used  int               // slots that are used, <= kept.len()
}

type remembered struct {
	hash keyHash
	body uint64
}

// A slot is 0, or slotUsed, slotHashBits of the key's place and the lowest
// slotSeqBits of its seq. The place says where the search begins, so slots move
// without a look at the queue.
const (
	slotSeqBits  = 24
	slotHashBits = 39
	slotUsed     = 1 << 63
	leastSlots   = 8
)

// The queue must not be longer than what the bits of a slot tell apart.
const _ = uint(1<<slotSeqBits - MaxKeys)

// seed makes the places differ between processes, as in a Go map, so that nobody
// can choose keys that fall together. Nothing else depends on it.
var seed = maphash.MakeSeed()

func placeOf(h *keyHash) uint64 {
	return slotUsed | maphash.Bytes(seed, h[:])&(1<<slotHashBits-1)<<slotSeqBits
}

func (k *keys) len() int { return k.kept.len() }

// at is the key of the publish with a seq that is remembered.
func (k *keys) at(seq uint64) *remembered { return k.kept.at(int(seq - k.first)) }

// seqOf is the seq that a slot stands for.
func (k *keys) seqOf(slot uint64) uint64 {
	return k.first + (slot-k.first)&(1<<slotSeqBits-1)
}

// home is where the search for a place begins.
func (k *keys) home(place uint64) int { return int(place >> slotSeqBits & uint64(len(k.slots)-1)) }

func (k *keys) after(i int) int { return (i + 1) & (len(k.slots) - 1) }

// search returns the slot that has h, or the empty one where it would be.
func (k *keys) search(h *keyHash, place uint64) int {
	i := k.home(place)
	for ; k.slots[i] != 0; i = k.after(i) {
		if (k.slots[i]^place)>>slotSeqBits == 0 && k.at(k.seqOf(k.slots[i])).hash == *h {
			break
		}
	}
	return i
}

// find returns the newest publish under a key.
func (k *keys) find(h *keyHash) (seq, body uint64, ok bool) {
	if k.used == 0 {
		return 0, 0, false
	}
	slot := k.slots[k.search(h, placeOf(h))]
	if slot == 0 {
		return 0, 0, false
	}
	seq = k.seqOf(slot)
	return seq, k.at(seq).body, true
}

// add remembers the publish behind the newest.
func (k *keys) add(h *keyHash, body uint64) {
	if (k.used+1)*4 > len(k.slots)*3 {
		k.resize(max(2*len(k.slots), leastSlots))
	}
	place := placeOf(h)
	i := k.search(h, place)
	if k.slots[i] == 0 {
		k.used++
	}
	seq := k.first + uint64(k.kept.len())
	k.slots[i] = place | seq&(1<<slotSeqBits-1)
	k.kept.push(remembered{*h, body})
}

// forget drops the n oldest.
func (k *keys) forget(n int) {
	for j := range n {
		k.clear(k.kept.at(j), k.first+uint64(j))
	}
	k.kept.pop(n)
	k.first += uint64(n)
	n = len(k.slots)
	for n > leastSlots && k.used*8 < n {
		n /= 2
	}
	switch {
	case k.used == 0:
		k.slots = nil
	case n < len(k.slots):
		k.resize(n)
	}
}

// clear empties the slot of a publish, unless a newer one has it.
func (k *keys) clear(r *remembered, seq uint64) {
	i := k.home(placeOf(&r.hash))
	for ; k.slots[i] != 0 && k.seqOf(k.slots[i]) != seq; i = k.after(i) {
	}
	if k.slots[i] == 0 {
		return
	}
	k.used--
	// What follows moves up, as far as its search still finds it.
	for j := k.after(i); k.slots[j] != 0; j = k.after(j) {
		if home := k.home(k.slots[j]); (j-home)&(len(k.slots)-1) >= (j-i)&(len(k.slots)-1) {
			k.slots[i] = k.slots[j]
			i = j
		}
	}
	k.slots[i] = 0
}

func (k *keys) resize(n int) {
	old := k.slots
	k.slots = make([]uint64, n)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := k.home(slot)
		for k.slots[i] != 0 {
			i = k.after(i)
		}
		k.slots[i] = slot
	}
}
