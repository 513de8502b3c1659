package upstream

import (
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of one presence command.
const (
	maxPresenceRooms = 64  // a storm over many rooms is stated in pieces
	maxPresenceUsers = 256 // about 16 KiB of names
)

// roster is who is in which room on this edge, and what core was told of it.
// Statements are absolute, so a join and its leave between two statements
// cancel.
type roster struct {
	mu    sync.Mutex // guards everything below
	rooms map[string]*roomRoster
	dirty map[uint32]map[string]*roomRoster // by shard, with something to state
}

type roomRoster struct {
	name     string
	sessions uint32
	stated   uint32
	users    map[string]*userRoster
	changed  map[string]*userRoster
	full     bool // core knows nothing: state everything
	// countsOnly: the room is above its roster limit, names would be ignored.
	countsOnly bool
	named      bool // core has our names
}

type userRoster struct {
	name     string
	sessions uint32
	stated   uint32
}

func (r *roster) init() {
	r.rooms = make(map[string]*roomRoster)
	r.dirty = make(map[uint32]map[string]*roomRoster)
}

// Enter says that a session of user is in room now. The room's first member is
// stated at once, later ones together.
func (c *Client) Enter(room, user, name string) {
	shard, known := c.shard(room)
	r := &c.roster
	r.mu.Lock()
	rr := r.rooms[room]
	first := rr == nil
	if first {
		rr = &roomRoster{name: room, users: make(map[string]*userRoster), changed: make(map[string]*userRoster), named: true}
		r.rooms[room] = rr
	}
	rr.sessions++
	u := rr.users[user]
	if u == nil {
		u = &userRoster{}
		rr.users[user] = u
	}
	u.name = name
	u.sessions++
	rr.changed[user] = u
	if known {
		r.mark(shard, rr)
	}
	r.mu.Unlock()
	if first {
		c.statePresence()
	}
}

// Exit takes back one Enter.
func (c *Client) Exit(room, user string) {
	shard, known := c.shard(room)
	r := &c.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	rr := r.rooms[room]
	if rr == nil {
		return
	}
	u := rr.users[user]
	if u == nil || u.sessions == 0 {
		return
	}
	u.sessions--
	rr.sessions--
	rr.changed[user] = u
	if known {
		r.mark(shard, rr)
	}
}

// Crowded tells whether a room is above its roster limit: then core keeps
// counts and names need not be sent.
func (c *Client) Crowded(room string, crowded bool) {
	shard, known := c.shard(room)
	r := &c.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	rr := r.rooms[room]
	if rr == nil || rr.countsOnly == crowded {
		return
	}
	rr.countsOnly = crowded
	if !crowded && !rr.named && known {
		rr.full = true
		r.mark(shard, rr)
	}
}

// mark notes that a room has something to state. Caller holds mu.
func (r *roster) mark(shard uint32, rr *roomRoster) {
	rooms := r.dirty[shard]
	if rooms == nil {
		rooms = make(map[string]*roomRoster)
		r.dirty[shard] = rooms
	}
	rooms[rr.name] = rr
}

// remark has every room looked at: shards may have been unknown when they changed.
func (c *Client) remark() {
	r := &c.roster
	r.mu.Lock()
	for name, rr := range r.rooms {
		if shard, ok := c.shard(name); ok {
			r.mark(shard, rr)
		}
	}
	r.mu.Unlock()
	c.statePresence()
}

// restate marks everything of a shard that knows nothing of us.
func (c *Client) restate(shard uint32) {
	r := &c.roster
	r.mu.Lock()
	for name, rr := range r.rooms {
		if s, ok := c.shard(name); ok && s == shard {
			rr.full = true
			r.mark(shard, rr)
		}
	}
	r.mu.Unlock()
	c.statePresence()
}

// statePresence puts what changed onto the lanes. A lane that is down, or has
// a statement waiting, gets none: the next one will say it all.
func (c *Client) statePresence() {
	if c.link.Load() == nil {
		return
	}
	now := time.Now()
	r := &c.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	said := false
	for shard, rooms := range r.dirty {
		c.mu.Lock()
		l := c.lane(shard, now)
		if l.open && l.presence == 0 {
			if statement := r.statement(shard, rooms); len(statement) > 0 {
				_ = l.push(&op{kind: opPresence, data: encodePresence(statement)})
				said = true
			}
		}
		c.mu.Unlock()
	}
	if said {
		c.signal()
	}
}

// statement takes as much of what changed in a shard as fits one command.
// Caller holds mu.
func (r *roster) statement(shard uint32, rooms map[string]*roomRoster) []*rpc.RoomPresence {
	var out []*rpc.RoomPresence
	users := 0
	for name, rr := range rooms {
		if len(out) == maxPresenceRooms || users >= maxPresenceUsers {
			return out
		}
		p, all := rr.state(maxPresenceUsers - users)
		if p != nil {
			out = append(out, p)
			users += len(p.GetUsers())
		}
		if all {
			delete(rooms, name)
			if rr.sessions == 0 {
				delete(r.rooms, name)
			}
		}
	}
	delete(r.dirty, shard)
	return out
}

// state makes the statement of one room with at most limit users, nil if there
// is nothing to say. all is false when more remains.
func (rr *roomRoster) state(limit int) (p *rpc.RoomPresence, all bool) {
	p = &rpc.RoomPresence{Room: rr.name, Sessions: rr.sessions}
	if rr.full {
		p.Replace = true
		for name, u := range rr.users {
			u.stated = 0
			rr.changed[name] = u
		}
	}
	changed := rr.full || rr.sessions != rr.stated
	if rr.countsOnly {
		rr.named = false
		for name, u := range rr.changed {
			if u.sessions == 0 {
				delete(rr.users, name)
			}
		}
		clear(rr.changed)
	} else {
		rr.named = true
	}
	for name, u := range rr.changed {
		if len(p.Users) == limit {
			break
		}
		if u.sessions != u.stated {
			p.Users = append(p.Users, &rpc.UserPresence{User: name, Name: u.name, Sessions: u.sessions})
			u.stated = u.sessions
			changed = true
		}
		delete(rr.changed, name)
		if u.sessions == 0 {
			delete(rr.users, name)
		}
	}
	rr.full, rr.stated = false, rr.sessions
	if !changed {
		return nil, len(rr.changed) == 0
	}
	return p, len(rr.changed) == 0
}
