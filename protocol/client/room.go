package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// futureTries is how often a join is repeated when the edge's replica has not
// caught up with what this client has seen.
const futureTries = 40

// leftTries is how often a join is repeated while the server has not carried
// out the leave before it.
const leftTries = 10

// A Room is a joined room. It stays joined over reconnections until Leave.
type Room struct {
	// Set by Join, never changed.
	c      *Client
	name   string
	recent int
	events Events

	// Guarded by Client.mu.
	gone      bool     // left, or lost for good
	overstays bool     // the server refused the leave: the join was still under way
	pos       Position // everything up to here is in the event queue or beyond
	known     bool     // pos means something
	loose     bool     // the first message may come from before pos
	restart   bool     // pos cannot be continued from: begin at the head, and say what is missing
	owner     *link    // the link that feeds the room: the latest on which it was joined
	asked     *link    // a join is under way there
	retryAt   time.Time
	tries     int
	members   uint64
	first     chan error // takes the first join's result; nil once it is there

	mu    sync.Mutex // guards the field below
	shown Position   // handed to the application
}

// Join enters a room and returns when the server has agreed. It keeps trying
// over reconnections and temporary refusals until ctx ends. One client can be
// in a room once.
func (c *Client) Join(ctx context.Context, room string, o JoinOptions, events Events) (*Room, error) {
	if err := checkRoom(room); err != nil {
		return nil, fmt.Errorf("join %q: %w", room, err)
	}
	first := make(chan error, 1)
	r := &Room{c: c, name: room, recent: max(0, min(o.Recent, protocol.MaxRecent)), events: events, first: first}
	if o.Since != nil {
		r.pos, r.shown, r.known = Position{Epoch: valid(o.Since.Epoch), Seq: o.Since.Seq}, *o.Since, true
	}
	if err := c.addRoom(r); err != nil {
		return nil, fmt.Errorf("join %s: %w", room, err)
	}
	select {
	case err := <-first:
		if err != nil {
			return nil, fmt.Errorf("join %s: %w", room, err)
		}
		return r, nil
	case <-ctx.Done():
		c.mu.Lock()
		c.leaveLocked(r)
		c.mu.Unlock()
		return nil, fmt.Errorf("join %s: %w", room, ctx.Err())
	}
}

func (c *Client) addRoom(r *Room) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.rooms[r.name] != nil {
		return protocol.Errorf(protocol.AlreadyJoined, "leave it first")
	}
	c.rooms[r.name] = r
	r.enterLocked()
	return nil
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// Position is what OnMessages and OnGap have been given, the running call not
// included: a later Join with Since continues there.
func (r *Room) Position() Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown
}

// Publish is Client.Publish to this room.
func (r *Room) Publish(ctx context.Context, m Message) (Ack, error) {
	return r.c.Publish(ctx, r.name, m)
}

// PublishAsync is Client.PublishAsync to this room.
func (r *Room) PublishAsync(m Message, callback func(Ack, error)) error {
	return r.c.PublishAsync(r.name, m, callback)
}

// History is Client.History of this room.
func (r *Room) History(ctx context.Context, o HistoryOptions) (Page, error) {
	return r.c.History(ctx, r.name, o)
}

// Members is Client.Members of this room.
func (r *Room) Members(ctx context.Context, cursor string, limit int) (MembersPage, error) {
	return r.c.Members(ctx, r.name, cursor, limit)
}

// Leave leaves the room. No callback of it is started any more. What was
// published and not answered goes on.
func (r *Room) Leave(ctx context.Context) error {
	r.c.mu.Lock()
	if r.gone {
		r.c.mu.Unlock()
		return nil
	}
	if r.owner == nil || r.owner != r.c.current || r.c.next != nil {
		r.c.leaveLocked(r)
		r.c.mu.Unlock()
		return nil
	}
	r.removeLocked()
	r.c.mu.Unlock()
	_, err := r.c.call(ctx, leaveFrame(r.name))
	if err != nil && !errors.Is(err, &protocol.Error{Code: protocol.NotJoined}) && !errors.Is(err, ErrClosed) {
		return fmt.Errorf("leave %s: %w", r.name, err)
	}
	return nil
}

func leaveFrame(room string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Leave{Leave: &wire.Leave{Room: room}}}
}

// leaveLocked leaves without waiting for the reply. A server refuses to leave
// what is still being joined; then the room is left again once it is joined.
func (c *Client) leaveLocked(r *Room) {
	if r.gone {
		return
	}
	r.removeLocked()
	for _, l := range []*link{c.current, c.next} {
		if l != nil {
			c.sendLocked(l, leaveFrame(r.name), answer{room: r, leaving: true})
		}
	}
}

func (r *Room) removeLocked() {
	r.gone = true
	delete(r.c.rooms, r.name)
}

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
	r.owner, r.tries, r.members = l, 0, m.GetMembers()
	state := RoomState{
		Joined: true, Recovered: m.GetRecovered(), Members: m.GetMembers(), Survive: m.GetSurvive(),
		SlowMode: time.Duration(m.GetState().GetSlowModeMs()) * time.Millisecond, MaxBytes: m.GetState().GetMessageBytes(),
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
			SlowMode: time.Duration(m.GetSlowModeMs()) * time.Millisecond,
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
