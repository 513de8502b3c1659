package client

import (
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol/wire"
)

// passLocked moves the position behind a gap, and says which part of it is news.
func (r *Room) passLocked(g *wire.Gap) (Gap, bool) {
	gap := Gap{First: max(g.GetFirst(), r.pos.Seq+1), Last: g.GetLast(), Reason: g.GetReason(), Epoch: r.pos.Epoch}
	if gap.Count() == 0 {
		return Gap{}, false
	}
	gap.First = r.pos.Seq + 1 // nothing between is to be expected either
	r.pos.Seq = gap.Last
	return gap, true
}

// feedsLocked is the room that a push of l is for, or nil when it is not the
// link that feeds it.
func (c *Client) feedsLocked(l *link, name string) *Room {
	if r := c.rooms[name]; r != nil && r.owner == l {
		return r
	}
	return nil
}

func (c *Client) batchLocked(l *link, b *wire.Batch, size int) error {
	r := c.feedsLocked(l, b.GetRoom())
	if r == nil || len(b.GetMessages()) == 0 {
		return nil
	}
	if e := b.GetEpoch(); e != "" && e != r.pos.Epoch {
		r.changeEpochLocked(e, b.GetMessages()[0].GetSeq()-1)
	}
	return r.deliverLocked(b.GetMessages(), b.GetMerged()+b.GetDropped(), size)
}

func (r *Room) changeEpochLocked(epoch string, start uint64) {
	gap := Gap{First: 1, Last: start, Reason: "epoch", Epoch: epoch, Was: r.pos.Epoch}
	r.pos, r.loose = Position{Epoch: epoch, Seq: start}, false
	r.gapEventLocked(gap)
}

// deliverLocked hands over what is new of consecutive messages. explained is
// how many the server left out on purpose.
func (r *Room) deliverLocked(ms []*wire.Message, explained uint64, size int) error {
	for len(ms) > 0 && ms[0].GetSeq() <= r.pos.Seq && !r.loose {
		ms = ms[1:]
	}
	if len(ms) == 0 {
		return nil
	}
	if r.loose {
		r.loose = false
		if first := ms[0].GetSeq(); first <= r.pos.Seq {
			r.pos.Seq = first - 1
		}
	}
	from := 0
	for i, m := range ms {
		if hole := m.GetSeq() - r.pos.Seq - 1; hole != 0 {
			if m.GetSeq() <= r.pos.Seq || hole > explained {
				r.messagesEventLocked(ms[from:i], size)
				return fmt.Errorf("room %s: message %d follows %d, and nothing explained why", r.name, m.GetSeq(), r.pos.Seq)
			}
			explained -= hole
			r.messagesEventLocked(ms[from:i], 0)
			from = i
			r.gapEventLocked(Gap{First: r.pos.Seq + 1, Last: m.GetSeq() - 1, Reason: "merged", Epoch: r.pos.Epoch})
		}
		r.pos.Seq = m.GetSeq()
	}
	r.messagesEventLocked(ms[from:], size)
	return nil
}

func (c *Client) gapLocked(l *link, g *wire.Gap) error {
	r := c.feedsLocked(l, g.GetRoom())
	if r == nil {
		return nil
	}
	if e := g.GetEpoch(); e != "" && e != r.pos.Epoch {
		r.changeEpochLocked(e, g.GetLast())
		return nil
	}
	if gap, news := r.passLocked(g); news {
		r.gapEventLocked(gap)
	}
	return nil
}

func (c *Client) presenceLocked(l *link, m *wire.Presence) {
	r := c.feedsLocked(l, m.GetRoom())
	if r == nil {
		return
	}
	r.members = m.GetMembers()
	if r.events.OnPresence == nil {
		return
	}
	p := Presence{Members: m.GetMembers(), Joined: toMembers(m.GetJoined()), Left: toMembers(m.GetLeft())}
	r.eventLocked(func() { r.events.OnPresence(p) }, 0)
}

func (c *Client) roomStateLocked(l *link, m *wire.RoomState) {
	if r := c.feedsLocked(l, m.GetRoom()); r != nil {
		r.stateLocked(RoomState{
			Joined: true, Recovered: true, Members: r.members, Survive: m.GetSurvive(), MaxBytes: m.GetMessageBytes(),
			SlowMode: time.Duration(m.GetSlowModeMs()) * time.Millisecond, Role: r.role,
		})
	}
}

func (r *Room) stateLocked(s RoomState) {
	if r.events.OnState == nil {
		return
	}
	if s.Err != nil { // the last word on a room; eventLocked would find it gone
		r.c.queue.push(event{call: func() { r.events.OnState(s) }})
		return
	}
	r.eventLocked(func() { r.events.OnState(s) }, 0)
}

func (r *Room) gapEventLocked(g Gap) {
	r.eventLocked(func() {
		if r.events.OnGap != nil {
			r.events.OnGap(g)
		}
		r.setShown(Position{Epoch: g.Epoch, Seq: g.Last})
	}, 0)
}

func (r *Room) messagesEventLocked(ms []*wire.Message, size int) {
	if len(ms) == 0 {
		return
	}
	at := Position{Epoch: r.pos.Epoch, Seq: ms[len(ms)-1].GetSeq()}
	r.eventLocked(func() {
		if r.events.OnMessages != nil {
			r.events.OnMessages(toMessages(at.Epoch, ms))
		}
		r.setShown(at)
	}, size)
}

func (r *Room) setShown(p Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = p
}

// eventLocked queues a callback of this room, which is skipped if the room has
// been left by then.
func (r *Room) eventLocked(call func(), cost int) {
	r.c.queue.push(event{cost: cost, call: func() {
		r.c.mu.Lock()
		gone := r.gone
		r.c.mu.Unlock()
		if !gone {
			call()
		}
	}})
}
