// Package limit says no: rates and counts per key, for any number of keys in
// bounded memory. It knows neither what a key is (an address, a user, a room)
// nor what happens to those it refuses.
package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

// shards is the number of locks a table's keys are spread over: enough that
// the readers of all cores rarely meet, few enough that a small bound divides.
const shards = 16

// fullWait is the wait told to a key that found no place: the table looks for
// idle keys again after it.
const fullWait = time.Second

// slowest bounds the time a bucket takes to fill, so that sums stay in range.
const slowest = 365 * 24 * time.Hour

var seed = maphash.MakeSeed()

// Table is a token bucket per key. A bucket holds up to burst tokens and gains
// rate a second; a key that is not in the table has a full bucket.
//
// At most maxKeys keys are remembered. A new key first takes the place of one
// whose bucket is full again, which changes no verdict. When there is none
// (maxKeys keys are all in use right now), the new key is refused: letting it
// through would make the limit one that a flood of new keys turns off.
type Table struct {
	// Set by NewTable, never changed.
	cost int64 // nanoseconds that one token takes to come back; 0: no limit
	full int64 // nanoseconds after which an empty bucket is full, >= cost
	max  int   // keys per shard

	shard [shards]tableShard
}

type tableShard struct {
	mu      sync.Mutex // guards the fields below
	index   map[string]int32
	buckets []bucket // dense; index points into it
	hand    int      // where the search for an idle bucket goes on
	_       [64]byte // keeps neighbours' locks off this cache line
}

type bucket struct {
	key string
	// fullAt is when the bucket is full again. It says everything: the tokens
	// missing at now are rate × (fullAt − now).
	fullAt int64 // nanoseconds of the caller's clock
}

// evictLooks bounds the buckets looked at to find an idle one.
const evictLooks = 32

// NewTable makes a table. A rate of 0 or less allows everything. burst is at
// least 1, maxKeys is rounded up to a multiple of the number of shards.
func NewTable(rate float64, burst, maxKeys int) *Table {
	t := &Table{max: perShard(maxKeys)}
	if rate > 0 {
		cost := min(float64(time.Second)/rate, float64(slowest))
		t.cost = max(int64(cost), 1)
		t.full = int64(min(cost*float64(max(burst, 1)), float64(slowest)))
		t.full = max(t.full, t.cost)
	}
	for i := range t.shard {
		t.shard[i].index = map[string]int32{}
	}
	return t
}

func perShard(keys int) int { return max((keys+shards-1)/shards, 1) }

func shardOf(key string) uint64 { return maphash.String(seed, key) % shards }

// Allow takes one token of key's bucket. Otherwise it returns false and how
// long until there is one. now must not come from before an earlier call's by
// much: time going back only makes the bucket fill later.
func (t *Table) Allow(key string, now time.Time) (bool, time.Duration) {
	if t.cost == 0 {
		return true, 0
	}
	at := now.UnixNano()
	s := &t.shard[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[key]
	if !known {
		slot, ok := s.place(t.max, at)
		if !ok {
			return false, fullWait
		}
		i = slot
		s.buckets[i] = bucket{key: key, fullAt: at}
		s.index[key] = i
	}
	b := &s.buckets[i]
	fullAt := max(b.fullAt, at) + t.cost
	// A bucket may miss at most burst tokens.
	if over := fullAt - at - t.full; over > 0 {
		return false, time.Duration(over)
	}
	b.fullAt = fullAt
	return true, 0
}

// place finds room for a new key: a new slot, or that of an idle key.
func (s *tableShard) place(limit int, at int64) (int32, bool) {
	if len(s.buckets) < limit {
		s.buckets = append(s.buckets, bucket{})
		return int32(len(s.buckets) - 1), true
	}
	for range min(evictLooks, len(s.buckets)) {
		s.hand = (s.hand + 1) % len(s.buckets)
		if b := &s.buckets[s.hand]; b.fullAt <= at {
			delete(s.index, b.key)
			return int32(s.hand), true
		}
	}
	return 0, false
}

// Len is the number of keys remembered.
func (t *Table) Len() int {
	n := 0
	for i := range t.shard {
		s := &t.shard[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}
