package client

import (
	"time"
)

// expireLocked gives up what is past its deadline.
func (c *Client) expireLocked(now time.Time) {
	for {
		p := c.ages.expired(now)
		if p == nil {
			return
		}
		c.finishLocked(p, Ack{}, p.giveUp(ErrTimeout))
		p.lane.trim()
	}
}

// ages are publishes in the order of their deadlines, finished ones included
// until they are passed over.
type ages struct {
	list []*publish
	head int
}

// add appends p, sweeping the finished ones out when they outnumber pending.
func (a *ages) add(p *publish, pending int) {
	if len(a.list) >= 2*pending+64 {
		kept := a.list[:0]
		for _, q := range a.list[a.head:] {
			if !q.done {
				kept = append(kept, q)
			}
		}
		clear(a.list[len(kept):])
		a.list, a.head = kept, 0
	}
	a.list = append(a.list, p)
}

// first is the earliest deadline, zero if there is none.
func (a *ages) first() time.Time {
	for ; a.head < len(a.list); a.head++ {
		if p := a.list[a.head]; !p.done {
			return p.deadline
		}
		a.list[a.head] = nil
	}
	a.list, a.head = a.list[:0], 0
	return time.Time{}
}

func (a *ages) expired(now time.Time) *publish {
	if at := a.first(); at.IsZero() || at.After(now) {
		return nil
	}
	return a.list[a.head]
}
