package client

import (
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// enterLocked sends the join on the newest link, if that is still to be done.
func (r *Room) enterLocked() {
	l := r.c.next
	if l == nil {
		l = r.c.current
	}
	if l == nil || r.owner == l || r.asked == l {
		return
	}
	r.asked, r.retryAt = l, time.Time{}
	join := &wire.Join{Room: r.name, Recent: uint32(r.recent)}
	if r.known && !r.restart {
		since := r.pos.Seq
		join.Epoch, join.Since = r.pos.Epoch, &since // recent counts if the epoch is another
	}
	r.c.sendLocked(l, &wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: join}}, answer{room: r, since: join.Since != nil})
}

// forgetLocked: l is gone.
func (r *Room) forgetLocked(l *link) {
	if r.asked == l {
		r.asked = nil
	}
	if r.owner == l {
		r.owner = nil
		if r.c.next == nil {
			r.stateLocked(RoomState{})
		}
	}
}

// loseLocked: the room cannot be kept.
func (r *Room) loseLocked(err error) {
	if r.gone {
		return
	}
	if r.first != nil {
		r.first <- err
		r.first = nil
	} else {
		r.stateLocked(RoomState{Err: err})
	}
	r.removeLocked()
}

// joinedLocked takes the reply to a join.
func (c *Client) joinedLocked(l *link, a answer, f *wire.ServerFrame, size int) error {
	r := a.room
	if r.asked == l && !a.leaving {
		r.asked = nil
	}
	if a.leaving {
		r.overstays = f.GetError() != nil
		return nil
	}
	if r.gone {
		if r.overstays && f.GetJoined() != nil {
			c.sendLocked(l, leaveFrame(r.name), answer{})
		}
		return nil
	}
	if e := f.GetError(); e != nil {
		r.refusedLocked(toError(e), a.since)
		return nil
	}
	m := f.GetJoined()
	if m == nil {
		return fmt.Errorf("join of %s answered with %T", r.name, f.GetBody())
	}
	r.owner, r.tries, r.members, r.role = l, 0, m.GetMembers(), m.GetRole()
	state := RoomState{
		Joined: true, Recovered: m.GetRecovered(), Members: m.GetMembers(), Survive: m.GetSurvive(),
		SlowMode: time.Duration(m.GetState().GetSlowModeMs()) * time.Millisecond, MaxBytes: m.GetState().GetMessageBytes(), Role: r.role,
	}
	gap, lost := r.beginLocked(m, a.since)
	if lost {
		state.Missed = gap.Count()
	}
	r.stateLocked(state)
	if lost {
		r.gapEventLocked(gap)
	}
	if r.first != nil {
		r.first <- nil
		r.first = nil
	}
	if err := r.deliverLocked(m.GetMessages(), 0, size); err != nil {
		return err
	}
	if c.next != nil {
		c.promoteLocked(time.Now())
	}
	return nil
}

// beginLocked sets the position at which a join begins, and says what is
// missing between the one before and this.
func (r *Room) beginLocked(m *wire.Joined, since bool) (gap Gap, lost bool) {
	start := m.GetHead()
	if ms := m.GetMessages(); len(ms) > 0 {
		start = ms[0].GetSeq() - 1
	}
	begin := func() {
		r.pos = Position{Epoch: m.GetEpoch(), Seq: start}
		r.loose = len(m.GetMessages()) == 0
		r.known, r.restart = true, false
	}
	was := r.pos
	switch {
	case !r.known:
		begin()
		return Gap{}, false
	case m.GetEpoch() != was.Epoch:
		begin()
		gap = Gap{First: 1, Last: start, Reason: "epoch", Epoch: m.GetEpoch(), Was: was.Epoch}
		if g := m.GetGap(); g.GetLast() > 0 && g.GetEpoch() == m.GetEpoch() && len(m.GetMessages()) == 0 {
			gap.First, gap.Last, r.pos.Seq, r.loose = g.GetFirst(), g.GetLast(), g.GetLast(), false
		}
		return gap, true
	case !since:
		begin()
		r.loose = false
		if r.pos.Seq < was.Seq { // what came before is known already
			r.pos.Seq = was.Seq
		}
		gap = Gap{First: was.Seq + 1, Last: r.pos.Seq, Reason: "trimmed", Epoch: was.Epoch}
		return gap, gap.Count() > 0
	case m.GetGap() != nil:
		return r.passLocked(m.GetGap())
	}
	return Gap{}, false
}

// refusedLocked: the server did not let the room be joined.
func (r *Room) refusedLocked(e *protocol.Error, since bool) {
	switch {
	case e.Code == protocol.Future && r.tries < futureTries, e.Code.Temporary(),
		e.Code == protocol.AlreadyJoined && r.tries < leftTries: // the leave before this join is under way
		r.tries++
		wait := time.Duration(e.RetryAfter) * time.Millisecond
		if wait <= 0 {
			wait = min(minRetryAfter<<min(r.tries, 8), maxHold)
		}
		r.retryAt = time.Now().Add(r.c.jittered(wait))
		r.c.wake()
	case since && (e.Code == protocol.Trimmed || e.Code == protocol.EpochChanged || e.Code == protocol.Future):
		r.restart = true
		r.enterLocked()
	default:
		r.loseLocked(e)
	}
}
