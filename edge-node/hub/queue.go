package hub

import "sync"

// A queue hands items to the goroutines that run it. It has no limit of its
// own: what is put in is bounded by rooms and members.
type queue[T any] struct {
	mu     sync.Mutex // guards the fields below
	more   *sync.Cond
	items  []T
	head   int
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	if q.head > 64 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
	q.mu.Unlock()
	q.more.Signal()
}

// run calls f with item after item until close.
func (q *queue[T]) run(f func(T)) {
	for {
		q.mu.Lock()
		for q.head == len(q.items) && !q.closed {
			q.items, q.head = q.items[:0], 0
			q.more.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		item := q.items[q.head]
		var zero T
		q.items[q.head] = zero
		q.head++
		q.mu.Unlock()
		f(item)
	}
}

func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}
