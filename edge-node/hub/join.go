package hub

import (
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// maxJoined bounds the records of a joined reply, in bytes; the rest follows in
// batches.
const maxJoined = maxBatch

// Join brings a member into a room. The owner's Joined or JoinFailed follows,
// during the call or later.
func (h *Hub) Join(m *Member, name string) {
	user, display := m.owner.Identity()
	h.mu.Lock()
	r := h.rooms[name]
	begin := r == nil
	if begin {
		r = &Room{name: name, hub: h}
		h.rooms[name] = r
	}
	r.refs++
	m.room, m.user = r, user
	h.mu.Unlock()

	h.core.Enter(name, user, display)
	if begin {
		h.core.Subscribe(name, r)
	}
	r.mu.Lock()
	if !r.live || r.tail.head < r.await {
		if len(r.waiters) == 0 {
			r.since = h.now()
		}
		r.waiters = append(r.waiters, m)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	h.answer(m)
}

// settle has joins answered that have waited; there may be thousands, so the
// feed does not wait for them.
func (h *Hub) settle(waiters []*Member) {
	for _, m := range waiters {
		h.work.put(task{join: m})
	}
}

// answer decides a join by what the room's tail holds, or hands it to the
// readers: those that need history, and those that are ahead of us.
func (h *Hub) answer(m *Member) {
	r, req := m.room, &m.Join
	r.mu.Lock()
	reply := r.reply()
	var records []byte
	how := "head"
	var after, start uint64
	switch {
	case !req.Resume, req.Epoch != 0 && req.Epoch != r.epoch:
		after = max(r.tail.base, r.flushed-min(r.flushed, uint64(req.Recent)))
		records, start = r.tail.read(after, r.flushed, maxJoined)
		if start < r.flushed { // only the newest of them fit: leave out the oldest
			after, records, start = r.newest(after)
		}
		reply.Head = r.flushed
		if req.Resume {
			how = "epoch"
			reply.Gap = &wire.Gap{Room: r.name, First: req.Since + 1, Reason: "epoch", Epoch: reply.Epoch}
		}
	case req.Since > r.tail.head:
		r.mu.Unlock()
		h.read(job{member: m, ahead: true})
		return
	case !r.tail.covers(req.Since):
		r.mu.Unlock()
		h.read(job{member: m})
		return
	default:
		how = "tail"
		reply.Recovered = true
		after = plantLostTail(req.Since)
		records, start = r.tail.read(after, r.flushed, maxJoined)
		start = max(start, req.Since)
	}
	epoch, shadows := r.epoch, r.tail.shadows(after, start)
	r.mu.Unlock()
	h.admit(m, epoch, start, how, reply, m.view().open(records, shadows))
}

// newest reads as many of the records after seq as fit, the newest ones, and
// says where they begin and end. Caller holds mu.
func (r *Room) newest(after uint64) (from uint64, records []byte, last uint64) {
	for after < r.flushed {
		after += (r.flushed - after + 1) / 2
		if records, last := r.tail.read(after, r.flushed, maxJoined); last == r.flushed {
			return after, records, last
		}
	}
	return r.flushed, nil, r.flushed
}

// reply begins the answer to a join. Caller holds mu.
func (r *Room) reply() *wire.Joined {
	p := r.policy.Load()
	return &wire.Joined{
		Room: r.name, Epoch: protocol.FormatEpoch(r.epoch), Head: r.tail.head, First: r.first, Members: r.members, Survive: r.survive,
		State: &wire.RoomState{Room: r.name, Survive: r.survive, SlowModeMs: p.GetSlowModeMs(), MessageBytes: p.GetMessageBytes()},
	}
}

// admit makes m a cursor at seq start and gives its owner the reply.
func (h *Hub) admit(m *Member, epoch, start uint64, how string, reply *wire.Joined, records []byte) {
	r := m.room
	moderation := r.Moderation()
	if err := r.barred(m, moderation); err != nil {
		h.fail(m, err)
		return
	}
	reply.Role = r.role(m, moderation)
	m.epoch, m.cursor, m.state = epoch, start, joining
	r.mu.Lock()
	r.formats[m.format]++
	r.count++
	var s *shard
	if len(r.shards)*shardSize < r.count {
		s = &shard{}
		r.shards = append(r.shards[:len(r.shards):len(r.shards)], s)
	} else {
		s = r.shards[r.count%len(r.shards)]
	}
	r.mu.Unlock()
	s.add(m)
	r.compare(m, reply)
	h.met.joins.WithLabelValues(how).Inc()
	m.owner.Joined(m, reply, records)
	r.recall(m, moderation)
}

// compare notes what was pushed between the making of a reply and the moment
// from which m is pushed to.
func (r *Room) compare(m *Member, reply *wire.Joined) {
	p := r.policy.Load()
	r.mu.Lock()
	members := r.members
	r.mu.Unlock()
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if members != reply.GetMembers() {
		m.stale |= stalePresence
	}
	if p.GetSlowModeMs() != reply.GetState().GetSlowModeMs() || p.GetMessageBytes() != reply.GetState().GetMessageBytes() {
		m.stale |= staleState
	}
}

// fail refuses a join.
func (h *Hub) fail(m *Member, err *protocol.Error) {
	h.met.joins.WithLabelValues("failed").Inc()
	h.release(m)
	m.owner.JoinFailed(m, err)
}

// Leave takes a member out of its room. The owner calls it once, after Joined.
func (h *Hub) Leave(m *Member) {
	if !m.shard.remove(m) {
		return
	}
	r := m.room
	r.mu.Lock()
	r.formats[m.format]--
	r.count--
	r.mu.Unlock()
	h.release(m)
}

// release gives back what Join took.
func (h *Hub) release(m *Member) {
	user, _ := m.owner.Identity()
	h.core.Exit(m.room.name, user)
	h.mu.Lock()
	m.room.refs--
	if m.room.refs == 0 {
		m.room.empty = h.now()
	}
	h.mu.Unlock()
}
