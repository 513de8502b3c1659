package filter

import (
	"cmp"
	"slices"
)

// A trie finds which class sequences begin at a place. It is kept as flat slices
// without pointers, so that the garbage collector has nothing to follow: a
// subtree for each four classes at the beginning, found by hashing, and below it
// nodes in breadth-first order, each with the classes that lead to it and
// nowhere else. Sequences of two and three classes are subtrees of their own:
// each level that is not walked is a cache miss less.
type trie struct {
	roots []root // by hash of the head
	nodes []node
	class []uint16 // by which a node's parent leads to it, parallel to nodes
	pool  []uint16 // labels
	ones  []one    // sequences of one class, ascending
}

type root struct { // 16 bytes, in one cache line
	head uint64 // 0 is free
	node uint32
}

// headClasses is how many classes lead to a subtree.
const headClasses = 4

// headOf is the first classes of a sequence as one number, the first one
// lowest, with zeros behind one that is shorter.
func headOf(s []uint16) (head uint64) {
	for i, c := range s[:min(len(s), headClasses)] {
		head |= uint64(c) << (16 * i)
	}
	return head
}

type node struct { // 16 bytes
	label uint32 // in pool
	first uint32 // of the children, which are consecutive and ascend by class
	term  uint32 // 1 + number of the sequence that ends here; 0: none
	size  uint16 // of the label
	kids  uint16
}

type one struct {
	class uint16
	term  uint32
}

// newTrie takes sequences that ascend and differ.
func newTrie(sequences [][]uint16) trie {
	var t trie
	t.nodes = append(t.nodes, node{}) // 0 is no node
	t.class = append(t.class, 0)
	type job struct {
		node, depth uint32
		lo, hi      uint32 // sequences that begin with what leads to node
	}
	var jobs []job
	for lo := 0; lo < len(sequences); {
		s := sequences[lo]
		if len(s) == 1 {
			t.ones = append(t.ones, one{s[0], uint32(lo)})
			lo++
			continue
		}
		hi := lo + 1
		for hi < len(sequences) && headOf(sequences[hi]) == headOf(s) {
			hi++
		}
		depth := uint32(min(len(s), headClasses))
		jobs = append(jobs, job{node: uint32(len(t.nodes)), depth: depth, lo: uint32(lo), hi: uint32(hi)})
		t.nodes = append(t.nodes, node{})
		t.class = append(t.class, 0)
		lo = hi
	}
	groups := jobs
	for len(jobs) > 0 {
		var below []job
		for _, j := range jobs {
			n := node{label: uint32(len(t.pool))}
			group := sequences[j.lo:j.hi]
			depth := int(j.depth)
			common := shared(group[0], group[len(group)-1], depth)
			t.pool = append(t.pool, group[0][depth:common]...)
			n.size = uint16(common - depth)
			if len(group[0]) == common {
				n.term = j.lo + 1
				group = group[1:]
				j.lo++
			}
			n.first = uint32(len(t.nodes))
			for len(group) > 0 {
				c := group[0][common]
				k := 1
				for k < len(group) && group[k][common] == c {
					k++
				}
				below = append(below, job{node: uint32(len(t.nodes)), depth: uint32(common) + 1, lo: j.lo, hi: j.lo + uint32(k)})
				t.nodes = append(t.nodes, node{})
				t.class = append(t.class, c)
				n.kids++
				j.lo += uint32(k)
				group = group[k:]
			}
			t.nodes[j.node] = n
		}
		jobs = below
	}
	size := 4
	for size < 2*len(groups) {
		size *= 2
	}
	t.roots = make([]root, size)
	for _, j := range groups {
		r := root{head: headOf(sequences[j.lo]), node: j.node}
		at := t.slot(r.head)
		for t.roots[at].head != 0 {
			at = (at + 1) & (size - 1)
		}
		t.roots[at] = r
	}
	t.nodes, t.class, t.pool = slices.Clip(t.nodes), slices.Clip(t.class), slices.Clip(t.pool)
	return t
}

// shared is how long two sequences are the same, from a depth that they share.
func shared(a, b []uint16, depth int) int {
	for depth < len(a) && depth < len(b) && a[depth] == b[depth] {
		depth++
	}
	return depth
}

func (t *trie) slot(head uint64) int {
	return int(head*spread64>>32) & (len(t.roots) - 1)
}

// root finds the subtree of a head, or 0.
func (t *trie) root(head uint64) uint32 {
	for at := t.slot(head); ; at++ {
		switch r := &t.roots[at&(len(t.roots)-1)]; r.head {
		case head:
			return r.node
		case 0:
			return 0
		}
	}
}

// child finds the child that a class leads to, or 0.
func (t *trie) child(n *node, c uint16) uint32 {
	lo, hi := int(n.first), int(n.first)+int(n.kids)
	for hi-lo > 8 {
		if mid := (lo + hi) / 2; t.class[mid] <= c {
			lo = mid
		} else {
			hi = mid
		}
	}
	for ; lo < hi; lo++ {
		if t.class[lo] == c {
			return uint32(lo)
		}
	}
	return 0
}

// one finds the sequence of one class.
func (t *trie) one(c uint16) (term uint32, ok bool) {
	i, ok := slices.BinarySearchFunc(t.ones, c, func(o one, c uint16) int { return cmp.Compare(o.class, c) })
	if !ok {
		return 0, false
	}
	return t.ones[i].term, true
}

func (t *trie) bytes() int {
	return 16*len(t.roots) + 16*len(t.nodes) + 2*len(t.class) + 2*len(t.pool) + 8*len(t.ones)
}
