package room

// queue is a first-in first-out list that can be indexed from its oldest item.
type queue[T any] struct {
	items []T
	head  int // 0 <= head <= len(items); items before it are gone
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) at(i int) *T { return &q.items[q.head+i] }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

// pop removes the n oldest. The rest moves to the front when it is the smaller
// part, so that a pop costs no more than the pushes before it; memory is given
// back when three quarters of it are unused.
func (q *queue[T]) pop(n int) {
	q.head += n
	switch rest := q.len(); {
	case rest == 0:
		*q = queue[T]{}
	case q.head > rest && q.head >= 64:
		into := q.items[:0]
		if cap(q.items) > 4*rest {
			into = make([]T, 0, 2*rest)
		}
		q.items, q.head = append(into, q.items[q.head:]...), 0
	}
}
