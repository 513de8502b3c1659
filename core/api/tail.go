package api

import (
	"sync"

	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A hub watches what one shard applies, for the feeds of this node. It keeps a
// tail for every room that somebody subscribes to, and no longer than somebody
// needs it: what all cursors have passed is let go.
//
// Lock order: hub.mu, then feed.mu.
type hub struct {
	shard uint32

	mu    sync.Mutex // guards the fields below and the cursors' shared part
	rooms map[string]*tail
	bytes int // of all tails
}

// A tail is the newest blocks of one watched room. blocks are consecutive:
// each begins behind the one before.
type tail struct {
	room   string
	epoch  uint64
	blocks []room.Block
	bytes  int
	head   uint64 // newest seq known of epoch; the blocks may end before it
	subs   map[*cursor]struct{}
}

func newHub(shard uint32) *hub { return &hub{shard: shard, rooms: map[string]*tail{}} }

// watch adds a cursor.
func (h *hub) watch(c *cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.rooms[c.room]
	if t == nil {
		t = &tail{room: c.room, subs: map[*cursor]struct{}{}}
		h.rooms[c.room] = t
	}
	t.subs[c] = struct{}{}
}

// unwatch removes a cursor, and the tail with its last one.
func (h *hub) unwatch(c *cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.rooms[c.room]
	if t == nil {
		return
	}
	delete(t.subs, c)
	if len(t.subs) == 0 {
		h.bytes -= t.bytes
		delete(h.rooms, c.room)
	}
}

// applied takes what an entry did. It is called by the shard's apply goroutine.
func (h *hub) applied(e *room.Effects) {
	if len(e.Blocks) == 0 && len(e.Updates) == 0 && len(e.Gone) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rooms) == 0 {
		return
	}
	for _, g := range e.Gone {
		if t := h.rooms[g.Room]; t != nil {
			h.beginLocked(t, 0)
			t.wakeLocked()
		}
	}
	for i := range e.Blocks {
		b := &e.Blocks[i]
		if t := h.rooms[b.Room]; t != nil {
			h.appendLocked(t, b)
			t.wakeLocked()
		}
	}
	for i := range e.Updates {
		u := &e.Updates[i]
		if t := h.rooms[u.Room]; t != nil {
			for c := range t.subs {
				c.update.add(u)
			}
			t.wakeLocked()
		}
	}
}

// restored: the state was replaced by a snapshot; the tails do not continue, and
// what changed besides messages nobody has told.
func (h *hub) restored() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.rooms {
		h.beginLocked(t, 0)
		for c := range t.subs {
			c.update = update{pending: true, all: true}
		}
		t.wakeLocked()
	}
}

// beginLocked empties a tail for an epoch; 0 is not known.
func (h *hub) beginLocked(t *tail, epoch uint64) {
	h.bytes -= t.bytes
	clear(t.blocks)
	t.blocks, t.bytes, t.head, t.epoch = t.blocks[:0], 0, 0, epoch
}

func (h *hub) appendLocked(t *tail, b *room.Block) {
	if n := len(t.blocks); b.Epoch != t.epoch || n > 0 && end(&t.blocks[n-1]) != b.First {
		h.beginLocked(t, b.Epoch)
	}
	t.blocks = append(t.blocks, *b)
	t.bytes += len(b.Records)
	h.bytes += len(b.Records)
	t.head = max(t.head, end(b)-1)
	n := 0
	for n < len(t.blocks)-1 && (len(t.blocks)-n > maxTailBlocks || t.bytes > maxTailBytes || h.bytes > maxTailsBytes) {
		t.bytes -= len(t.blocks[n].Records)
		h.bytes -= len(t.blocks[n].Records)
		n++
	}
	t.dropLocked(n)
}

func (t *tail) dropLocked(n int) {
	if n > 0 {
		k := copy(t.blocks, t.blocks[n:])
		clear(t.blocks[k:])
		t.blocks = t.blocks[:k]
	}
}

func (t *tail) wakeLocked() {
	for c := range t.subs {
		c.feed.mark(c)
	}
}

// end is the seq behind a block's last.
func end(b *room.Block) uint64 { return b.First + uint64(b.Count) }

// reach says how a tail answers a cursor.
type reach int

const (
	level   reach = iota // the cursor is at the head
	reached              // the blocks continue the cursor
	behind               // the store has what the cursor needs, the tail has not
	other                // the tail is of another epoch, or of none: look at the room
)

// read appends the blocks that continue a cursor, about feedRound of them. The
// first one may begin before it.
func (h *hub) read(c *cursor, to []room.Block) ([]room.Block, reach) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.rooms[c.room]
	switch {
	case t == nil || t.epoch != c.epoch:
		return to, other
	case c.next > t.head:
		h.passLocked(t)
		return to, level
	case len(t.blocks) == 0 || c.next < t.blocks[0].First || c.next >= end(&t.blocks[len(t.blocks)-1]):
		return to, behind
	}
	left := feedRound
	for i := range t.blocks {
		b := &t.blocks[i]
		if end(b) <= c.next {
			continue
		}
		if left <= 0 {
			break
		}
		to = append(to, *b)
		left -= len(b.Records)
	}
	return to, reached
}

// passLocked lets go of the blocks that all cursors have passed.
func (h *hub) passLocked(t *tail) {
	least := t.head + 1
	for c := range t.subs {
		if c.epoch == t.epoch {
			least = min(least, c.next)
		}
	}
	n := 0
	for n < len(t.blocks) && end(&t.blocks[n]) <= least {
		t.bytes -= len(t.blocks[n].Records)
		h.bytes -= len(t.blocks[n].Records)
		n++
	}
	t.dropLocked(n)
}

// place puts a cursor behind a seq of an epoch, and tells the tail what the
// room's head is known to be.
func (h *hub) place(c *cursor, epoch, next, head uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.epoch, c.next = epoch, next
	t := h.rooms[c.room]
	if t == nil || epoch == 0 {
		return
	}
	if t.epoch < epoch { // what is newer came with a block, and the cursor will see it
		h.beginLocked(t, epoch)
	}
	if t.epoch == epoch {
		t.head = max(t.head, head)
	}
}

// advance moves a cursor on.
func (h *hub) advance(c *cursor, next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.next = next
}

// update is what a cursor has to tell of a room besides messages.
type update struct {
	pending      bool
	epoch        uint64
	members      uint64
	joined, left []*rpc.UserPresence
	policy       *rpc.Policy
	moderation   *rpc.Moderation
	all          bool // tell the room as it is: what changed is not known
}

// add takes a newer state; who came and went adds up.
func (u *update) add(n *room.Update) {
	if u.epoch != n.Epoch {
		*u = update{all: u.all}
	}
	u.pending, u.epoch, u.members = true, n.Epoch, n.Members
	if n.Policy != nil {
		u.policy = n.Policy
	}
	if n.Moderation != nil {
		u.moderation = n.Moderation
	}
	for _, p := range n.Joined {
		u.left = without(u.left, p.GetUser())
		u.joined = append(without(u.joined, p.GetUser()), p)
	}
	for _, p := range n.Left {
		u.joined = without(u.joined, p.GetUser())
		u.left = append(without(u.left, p.GetUser()), p)
	}
	if len(u.joined)+len(u.left) > maxUpdateUsers {
		u.joined, u.left = nil, nil // the count says enough
	}
}

func without(users []*rpc.UserPresence, user string) []*rpc.UserPresence {
	for i, p := range users {
		if p.GetUser() == user {
			return append(users[:i:i], users[i+1:]...)
		}
	}
	return users
}

// takeUpdate returns what a cursor has to tell, and forgets it.
func (h *hub) takeUpdate(c *cursor) (update, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := c.update
	c.update = update{}
	return u, u.pending && (u.all || u.epoch == c.epoch)
}

func (h *hub) hasUpdate(c *cursor) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.update.pending
}

// message makes a block ready to be sent, from a seq on.
func message(b *room.Block, from uint64) (*rpc.Block, error) {
	m := &rpc.Block{Room: b.Room, Epoch: b.Epoch, First: b.First, Count: b.Count, Records: b.Records, Crc: b.CRC}
	if from > b.First {
		_, rest, err := protocol.SplitAtSeq(b.Records, from)
		if err != nil {
			return nil, err
		}
		m.First, m.Count, m.Records = from, uint32(end(b)-from), rest
		m.Crc = protocol.CRC(rest)
	}
	return m, nil
}
