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
	role      string     // as of the last join
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
