package cmd

import (
	"fmt"
	"slices"

	"github.com/barrage-im/barrage/filter"
)

// reference is the yardstick of "filter bench": Aho and Corasick's automaton
// with a transition for each state and byte (CACM 1975), the fastest plain way
// to look for words in bytes. It folds nothing and joins no spans: it does less
// than the engines that are measured against it.
type reference struct {
	class [256]uint32 // of a byte; 0: in no word
	next  []uint32    // by state and class; states are multiples of the classes
	size  []uint16    // bytes of the longest word that ends in state i; 0: none
	width uint32      // classes
}

// ends marks a transition to a state in which a word ends.
const ends = 1 << 31

// maxReference bounds its table, in bytes. 100,000 words take about 0.4 GB.
const maxReference = 2 << 30

// referenceShape is how many states and byte classes words need.
func referenceShape(words []string) (states, width int) {
	used := [256]bool{}
	states, width = 1, 1
	before := ""
	for _, w := range words { // in order, so that the one before shares most
		common := 0
		for common < min(len(w), len(before)) && w[common] == before[common] {
			common++
		}
		states += len(w) - common
		before = w
		for i := range len(w) {
			if !used[w[i]] {
				used[w[i]] = true
				width++
			}
		}
	}
	return states, width
}

// newReference takes words as they are to be found.
func newReference(words []string) (*reference, error) {
	words = slices.Compact(slices.Sorted(slices.Values(words)))
	states, width := referenceShape(words)
	if n := 4 * states * width; n > maxReference {
		return nil, fmt.Errorf("would take %s; at most %s is taken", megabytes(n), megabytes(maxReference))
	}
	r := &reference{next: make([]uint32, states*width), size: make([]uint16, states), width: uint32(width)}
	classes, free := uint32(0), r.width
	for _, w := range words {
		s := uint32(0)
		for i := range len(w) {
			c := r.class[w[i]]
			if c == 0 {
				classes++
				c = classes
				r.class[w[i]] = c
			}
			to := &r.next[s+c]
			if *to == 0 {
				*to = free
				free += r.width
			}
			s = *to
		}
		r.size[s/r.width] = uint16(len(w))
	}
	r.complete()
	return r, nil
}

// complete gives states the transitions of the states that they fail to, the
// shallow ones first.
func (r *reference) complete() {
	fail := make([]uint32, len(r.size))
	queue := make([]uint32, 1, len(r.size)) // the root
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		back := fail[s/r.width]
		if r.size[s/r.width] == 0 {
			r.size[s/r.width] = r.size[back/r.width]
		}
		for c := range r.width {
			to := r.next[s+c]
			switch {
			case to == 0 && s > 0:
				r.next[s+c] = r.next[back+c]
			case to != 0:
				if s > 0 {
					fail[to/r.width] = r.next[back+c]
				}
				queue = append(queue, to)
			}
		}
	}
	for i, to := range r.next {
		if r.size[to/r.width] > 0 {
			r.next[i] |= ends
		}
	}
}

func (r *reference) bytes() int { return 4*len(r.next) + 2*len(r.size) }

// scan appends the longest word that ends at each place.
func (r *reference) scan(dst []filter.Span, text []byte) []filter.Span {
	s := uint32(0)
	for i, b := range text {
		s = r.next[s&^ends+r.class[b]]
		if s&ends != 0 {
			dst = append(dst, filter.Span{Start: int32(i + 1 - int(r.size[s&^ends/r.width])), End: int32(i + 1)})
		}
	}
	return dst
}
