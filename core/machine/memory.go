package machine

import (
	"bytes"
	"slices"
)

// Memory is a key space in memory, for tests and simulations. It is a Batch
// whose writes take effect at once, and the Reader of the result. The zero
// value is empty. Reads may overlap each other, writes nothing.
type Memory struct {
	pairs []pair // ascending by key, no key twice
}

type pair struct{ key, value []byte }

func (m *Memory) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(m.pairs, key, func(p pair, k []byte) int { return bytes.Compare(p.key, k) })
}

// Set stores a copy of value under key.
func (m *Memory) Set(key, value []byte) {
	i, ok := m.find(key)
	if !ok {
		m.pairs = slices.Insert(m.pairs, i, pair{key: bytes.Clone(key)})
	}
	m.pairs[i].value = append([]byte{}, value...)
}

// Delete removes key, if it is there.
func (m *Memory) Delete(key []byte) {
	if i, ok := m.find(key); ok {
		m.pairs = slices.Delete(m.pairs, i, i+1)
	}
}

// DeleteRange removes lo <= key < hi.
func (m *Memory) DeleteRange(lo, hi []byte) {
	i, j := m.bounds(lo, hi)
	m.pairs = slices.Delete(m.pairs, i, j)
}

func (m *Memory) bounds(lo, hi []byte) (int, int) {
	i, _ := m.find(lo)
	j, _ := m.find(hi)
	return i, max(i, j)
}

// Get returns a copy of the value under key.
func (m *Memory) Get(key []byte) (value []byte, ok bool, err error) {
	i, ok := m.find(key)
	if !ok {
		return nil, false, nil
	}
	return append([]byte{}, m.pairs[i].value...), true, nil
}

// Scan visits lo <= key < hi in order, or backwards.
func (m *Memory) Scan(lo, hi []byte, reverse bool, visit func(key, value []byte) bool) error {
	i, j := m.bounds(lo, hi)
	part := m.pairs[i:j]
	for n := range part {
		at := n
		if reverse {
			at = len(part) - 1 - n
		}
		if !visit(part[at].key, part[at].value) {
			break
		}
	}
	return nil
}

// Len is the number of keys.
func (m *Memory) Len() int { return len(m.pairs) }

// Clone returns an independent copy: a snapshot.
func (m *Memory) Clone() *Memory {
	c := &Memory{pairs: make([]pair, len(m.pairs))}
	for i, p := range m.pairs {
		c.pairs[i] = pair{bytes.Clone(p.key), append([]byte{}, p.value...)}
	}
	return c
}

// Diff returns the first key at which m and other differ, or nil when they are
// byte-equal. Same is the usual question.
func (m *Memory) Diff(other *Memory) []byte {
	for i := 0; ; i++ {
		switch {
		case i == len(m.pairs) && i == len(other.pairs):
			return nil
		case i == len(m.pairs):
			return other.pairs[i].key
		case i == len(other.pairs):
			return m.pairs[i].key
		}
		a, b := m.pairs[i], other.pairs[i]
		if c := bytes.Compare(a.key, b.key); c != 0 || !bytes.Equal(a.value, b.value) {
			if c > 0 {
				return b.key
			}
			return a.key
		}
	}
}

// Same reports whether m and other hold the same bytes.
func (m *Memory) Same(other *Memory) bool { return m.Diff(other) == nil }
