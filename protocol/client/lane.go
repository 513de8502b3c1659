package client

import (
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// laneTurn is how many publishes a lane sends before another lane's turn.
const laneTurn = 32

// maxHold bounds the growth of the wait after temporary refusals that name none.
const maxHold = 2 * time.Second

// A lane is the queue of publishes to one room. What was sent on the current
// link is queue[head:sent], by ascending order; what follows waits.
type lane struct {
	room       string
	queue      []*publish
	head, sent int
	order      uint64    // last one given on the current link
	hold       time.Time // nothing is sent before
	refusals   int       // temporary ones in a row
	open       int       // attempts on the current link without an answer
	window     int       // most of them; 0: as many as the server allows
	threshold  int       // window grows fast below, slowly above
	grown      int       // acknowledgements since it grew
	listed     bool      // in Client.sendable
}

func (c *Client) listLocked(ln *lane) {
	if !ln.listed && ln.sent < len(ln.queue) && ln.hold.IsZero() && !ln.full() {
		ln.listed = true
		c.sendable = append(c.sendable, ln)
	}
}

// pumpLocked encodes what may be sent now. At the end of a move nothing is:
// publishes of one room must never travel on two connections at once.
func (c *Client) pumpLocked() {
	l := c.current
	if l == nil || c.draining || len(c.sendable) == 0 {
		return
	}
	now := time.Now()
	for len(c.sendable) > 0 && l.inFlight < l.info.Limits.Outstanding && len(l.out) < outBytes {
		ln := c.sendable[0]
		c.sendable = c.sendable[1:]
		ln.listed = false
		if !ln.hold.IsZero() {
			continue
		}
		for range laneTurn {
			if ln.sent == len(ln.queue) || l.inFlight >= l.info.Limits.Outstanding || ln.full() {
				break
			}
			p := ln.queue[ln.sent]
			ln.sent++
			if !p.done {
				c.sendPublishLocked(l, p, now)
			}
		}
		c.listLocked(ln)
	}
	if len(l.out) > 0 {
		l.flush()
	}
}

func (c *Client) sendPublishLocked(l *link, p *publish, now time.Time) {
	ln := p.lane
	left := max(p.deadline.Sub(now).Milliseconds(), 1)
	out := l.codec.appendPublish(l.out, l.lastID+1, ln.room, &p.msg, ln.order+1, uint32(left))
	if size := len(out) - len(l.out); size > l.frameBytes() {
		// JSON can make six bytes of one. A server would end the connection.
		c.finishLocked(p, Ack{}, p.verdict(protocol.Errorf(protocol.TooLarge, "encoded, the message takes %d bytes; the limit is %d", size, l.frameBytes())))
		return
	}
	l.out = out
	l.lastID++
	ln.order++
	p.id, p.order = l.lastID, ln.order
	p.open++
	ln.open++
	l.inFlight++
	l.answers[p.id] = answer{publish: p, order: p.order}
}

// refusedLocked: the server refused order for now, and so refuses everything
// behind it. All of that becomes unsent, to be numbered again from order.
func (c *Client) refusedLocked(ln *lane, order uint64, e *protocol.Error) {
	first := ln.sent
	for first > ln.head && (ln.queue[first-1].order >= order || ln.queue[first-1].order == 0) {
		first--
		ln.queue[first].order = 0
	}
	ln.sent, ln.order = first, order-1
	ln.narrow()

	wait := time.Duration(e.RetryAfter) * time.Millisecond
	if wait <= 0 {
		wait = min(minRetryAfter<<min(ln.refusals, 8), maxHold)
	}
	ln.refusals++
	if ln.hold.IsZero() {
		c.held = append(c.held, ln)
	}
	ln.hold = time.Now().Add(c.jittered(wait))
	c.wake()
}

func (c *Client) unholdLocked(now time.Time) {
	kept := c.held[:0]
	for _, ln := range c.held {
		if ln.hold.After(now) {
			kept = append(kept, ln)
			continue
		}
		ln.hold = time.Time{}
		c.listLocked(ln)
	}
	clear(c.held[len(kept):])
	c.held = kept
	c.pumpLocked()
}

// unsendLocked: l is gone, and with it the answers to what it carried.
func (c *Client) unsendLocked(l *link) {
	for _, a := range l.answers {
		if p := a.publish; p != nil {
			p.lost, p.open = true, 0
		}
	}
	l.inFlight = 0
	for name, ln := range c.lanes {
		for _, p := range ln.queue[ln.head:ln.sent] {
			p.order = 0
		}
		ln.sent, ln.order, ln.open = ln.head, 0, 0
		ln.trim()
		if len(ln.queue) == 0 && ln.hold.IsZero() {
			delete(c.lanes, name)
		}
	}
}

// After a temporary refusal everything behind it is refused too, so a lane that
// is held back by a rate would send its whole queue again and again. It begins
// anew with one publish, and widens with every acknowledgement: fast up to half
// of where it failed, by one a round after that (as TCP does it).

func (ln *lane) full() bool { return ln.window > 0 && ln.open >= ln.window }

func (ln *lane) narrow() {
	reached := ln.window
	if reached == 0 {
		reached = max(ln.open, 1)
	}
	ln.window, ln.threshold, ln.grown = 1, max(reached/2, 1), 0
}

func (ln *lane) widen() {
	if ln.window == 0 {
		return
	}
	if ln.grown++; ln.window < ln.threshold || ln.grown >= ln.window {
		ln.window++
		ln.grown = 0
	}
	if ln.window > protocol.MaxOutstanding {
		ln.window = 0
	}
}

// restartLanesLocked lists what is unsent, after a change of links.
func (c *Client) restartLanesLocked() {
	for _, ln := range c.lanes {
		c.listLocked(ln)
	}
}

// trim forgets what is finished and no longer awaits an answer, at the head.
func (ln *lane) trim() {
	for ln.head < len(ln.queue) && ln.queue[ln.head].done && ln.queue[ln.head].open == 0 {
		ln.queue[ln.head] = nil
		ln.head++
	}
	ln.sent = max(ln.sent, ln.head)
	switch {
	case ln.head == len(ln.queue):
		ln.queue, ln.head, ln.sent = ln.queue[:0], 0, 0
	case ln.head > 64 && ln.head > len(ln.queue)/2:
		n := copy(ln.queue, ln.queue[ln.head:])
		clear(ln.queue[n:])
		ln.queue, ln.sent, ln.head = ln.queue[:n], ln.sent-ln.head, 0
	}
}
