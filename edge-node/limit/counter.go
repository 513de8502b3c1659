package limit

import "sync"

// Counter bounds how many of something each key holds at once, such as the
// connections of an address.
//
// Keys that hold nothing are forgotten, so memory is bounded by what is held;
// maxKeys bounds it further: when as many keys hold something, a new key is
// refused.
type Counter struct {
	// Set by NewCounter, never changed.
	limit   int32 // per key; 0 or less: no limit, nothing is counted
	maxKeys int   // per shard

	shard [shards]counterShard
}

type counterShard struct {
	mu   sync.Mutex       // guards held
	held map[string]int32 // > 0
	_    [64]byte
}

// NewCounter makes a counter of at most limit per key. A limit of 0 or less
// allows everything. maxKeys is rounded up to a multiple of the number of
// shards.
func NewCounter(limit, maxKeys int) *Counter {
	c := &Counter{limit: int32(min(limit, 1<<31-1)), maxKeys: perShard(maxKeys)}
	for i := range c.shard {
		c.shard[i].held = map[string]int32{}
	}
	return c
}

// Acquire takes one of key's places, if there is one. Each success must be
// given back by one Release.
func (c *Counter) Acquire(key string) bool {
	if c.limit <= 0 {
		return true
	}
	s := &c.shard[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.held[key]
	if n >= c.limit || n == 0 && len(s.held) >= c.maxKeys {
		return false
	}
	s.held[key] = n + 1
	return true
}

// Release gives back what Acquire took.
func (c *Counter) Release(key string) {
	if c.limit <= 0 {
		return
	}
	s := &c.shard[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.held[key]; n {
	case 0:
		panic("limit: Release without Acquire for " + key)
	case 1:
		delete(s.held, key)
	default:
		s.held[key] = n - 1
	}
}

// Held is how many places key holds.
func (c *Counter) Held(key string) int {
	s := &c.shard[shardOf(key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.held[key])
}
