package client

import "sync"

// queueBytes is how much may wait for the callbacks before reading stops:
// several of the largest server frames.
const queueBytes = 4 << 20

// An event is one callback to be made: call, or the verdict of a publish.
type event struct {
	call    func()
	publish *publish
	cost    int // bytes it holds on to
}

// eventQueue carries events to the goroutine that runs all callbacks.
type eventQueue struct {
	mu     sync.Mutex // guards the fields below
	cond   sync.Cond
	events []event
	cost   int
	closed bool // nothing is taken any more; what is there is still run
}

func newEventQueue() *eventQueue {
	q := &eventQueue{}
	q.cond.L = &q.mu
	return q
}

func (q *eventQueue) push(e event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.events = append(q.events, e)
	q.cost += e.cost
	if len(q.events) == 1 {
		q.cond.Broadcast()
	}
}

// waitRoom blocks while the callbacks are queueBytes behind.
func (q *eventQueue) waitRoom() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.cost > queueBytes && !q.closed {
		q.cond.Wait()
	}
}

func (q *eventQueue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cost > queueBytes
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.cond.Broadcast()
}

// run makes the callbacks until the queue is closed and empty.
func (q *eventQueue) run() {
	var batch []event
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.events) == 0 && !q.closed {
			q.cond.Wait()
		}
		if len(q.events) == 0 {
			return
		}
		batch, q.events = q.events, batch[:0]
		q.mu.Unlock()
		for i, e := range batch {
			if e.publish != nil {
				e.publish.callback(e.publish.ack, e.publish.err)
			} else {
				e.call()
			}
			batch[i] = event{}
			if e.cost > 0 {
				q.release(e.cost)
			}
		}
		q.mu.Lock()
	}
}

func (q *eventQueue) release(cost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.cost
	q.cost -= cost
	if was > queueBytes && q.cost <= queueBytes {
		q.cond.Broadcast()
	}
}
