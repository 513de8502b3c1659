package session

import (
	"sync"
	"time"
)

// A wheel visits every session when something may be due: a heartbeat, its
// answer, the end of a token. One goroutine and a pointer per session replace
// a timer each. Sessions that have ended are dropped when their slot comes.
type wheel struct {
	mu    sync.Mutex // guards the fields below
	slots [wheelSlots][]*Session
	at    int64 // the slot's second that was visited last
}

const (
	wheelSlots = 64 // a session is visited at least this often, in ticks
	wheelTick  = time.Second
)

func (w *wheel) init(now time.Time) { w.at = now.UnixNano() / int64(wheelTick) }

// add has a session visited at due or a little later, or earlier if that was
// asked for before.
func (w *wheel) add(s *Session, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := due.UnixNano()/int64(wheelTick) + 1
	slot = min(max(slot, w.at+1), w.at+wheelSlots-1)
	if s.due > w.at && s.due <= slot {
		return
	}
	s.due = slot
	w.slots[slot%wheelSlots] = append(w.slots[slot%wheelSlots], s)
}

// due takes the sessions whose time has come. A session that was added again
// for an earlier time stands in its old slot too; there it is skipped.
func (w *wheel) due(now time.Time) []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*Session
	for tick := now.UnixNano() / int64(wheelTick); w.at < tick; {
		w.at++
		for _, s := range w.slots[w.at%wheelSlots] {
			if s.due == w.at {
				due = append(due, s)
			}
		}
		w.slots[w.at%wheelSlots] = nil
	}
	return due
}

// all lists every session.
func (w *wheel) all() []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*Session
	for i, slot := range w.slots {
		for _, s := range slot {
			if s.due%wheelSlots == int64(i) {
				all = append(all, s)
			}
		}
	}
	return all
}

// clockEvery is the precision of heartbeats and of what closes idle sessions.
const clockEvery = 100 * time.Millisecond

// turn runs the wheel.
func (s *Server) turn() {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.clock.Store(now.UnixNano())
			for _, c := range s.wheel.due(now) {
				if next := c.visit(now); !next.IsZero() {
					s.wheel.add(c, next)
				}
			}
		}
	}
}
