package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// A Room is what this edge knows of one room: the tail of its log, who is in
// it here, and how far they have been sent.
type Room struct {
	name string
	hub  *Hub

	// Guarded by hub.mu.
	refs  int       // members, joining ones included
	empty time.Time // since when refs is 0

	policy     atomic.Pointer[rpc.Policy]
	moderation atomic.Pointer[rpc.Moderation] // nil: none

	// mu guards the fields below. It is held briefly, and may be taken while a
	// shard's lock is held, never the other way round.
	mu      sync.Mutex
	live    bool // the feed has begun: tail is good
	closed  bool
	epoch   uint64
	first   uint64 // oldest seq in history, as far as we heard
	members uint64 // on all edges
	survive string
	tail    tail
	flushed uint64 // members have been sent up to here; base <= flushed <= tail.head
	formats [transport.NumFormats]int
	count   int // members of shards
	shards  []*shard
	waiters []*Member // joins that wait for the feed
	since   time.Time // when the first of them came
	await   uint64    // the feed's head at its beginning: they wait until the tail has it

	pace      pace
	flushing  bool // a flush is under way, or queued
	sweep     bool // cursors may be misaligned: look at every member
	lastFlush time.Time
	timer     *time.Timer // queues a flush

	presence     bool // a change was not pushed yet
	lastPresence time.Time
	joined, gone []*wire.Member
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// Policy is the room's effective policy, nil while the feed has not begun.
func (r *Room) Policy() *rpc.Policy { return r.policy.Load() }

// Survive is what the room survives the loss of.
func (r *Room) Survive() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.survive
}

// Position implements upstream.Feed.
func (r *Room) Position() (epoch, after uint64, recent uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.live {
		return 0, 0, protocol.MaxRecent
	}
	return r.epoch, r.tail.head, 0
}

// Subscribed implements upstream.Feed: the feed begins, or begins again on
// another link.
func (r *Room) Subscribed(s *rpc.Subscribed) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	begin := !r.live
	switch {
	case begin || r.epoch != s.GetEpoch():
		r.hub.tails.Add(-int64(r.tail.bytes))
		r.tail.reset(s.GetStart())
		r.epoch, r.flushed, r.sweep = s.GetEpoch(), s.GetStart(), true
	case s.GetStart() > r.tail.head: // what lies between is in history, if anywhere
		r.hub.tails.Add(-int64(r.tail.bytes))
		r.tail.reset(s.GetStart())
		r.flushed, r.sweep = s.GetStart(), true
	}
	r.live = true
	r.first, r.members, r.survive = s.GetFirst(), s.GetMembers(), s.GetSurvive()
	before := r.policy.Load()
	if p := s.GetPolicy(); p != nil {
		r.policy.Store(p)
	}
	was := r.moderation.Swap(s.GetModeration())
	// The first blocks, up to the head, follow at once; joins wait for them, so
	// that recent messages and resumes are answered from the tail.
	if begin {
		r.await = s.GetHead()
	}
	waiters := r.ready()
	if r.sweep && r.count > 0 {
		r.queueFlush()
	}
	r.mu.Unlock()
	r.crowd()
	r.sanction(was, s.GetModeration())
	r.restand(before)
	r.hub.settle(waiters)
}

// ready takes the joins that wait, once they can be answered. Caller holds mu.
func (r *Room) ready() []*Member {
	if !r.live || r.tail.head < r.await {
		return nil
	}
	waiters := r.waiters
	r.waiters = nil
	return waiters
}

// Block implements upstream.Feed.
func (r *Room) Block(b *rpc.Block) {
	if protocol.CRC(b.GetRecords()) != b.GetCrc() {
		r.reject("crc")
		return
	}
	now := r.hub.now()
	r.mu.Lock()
	if r.closed || !r.live || b.GetEpoch() != r.epoch {
		r.mu.Unlock()
		return // of a subscription that has been replaced
	}
	size := r.tail.bytes
	added, ok, err := r.tail.add(b.GetFirst(), int(b.GetCount()), b.GetRecords())
	if !ok {
		r.mu.Unlock()
		if err != nil {
			r.reject("damaged")
		} else {
			r.reject("hole")
		}
		return
	}
	if r.count == 0 && !r.flushing {
		r.flushed = r.tail.head
	}
	limit := r.hub.cfg.TailBytes
	if r.hub.tails.Load() > r.hub.cfg.TotalTailBytes {
		limit = min(limit, max(size/2, minTailBytes))
	}
	r.tail.trim(limit, r.hub.cfg.TailMessages, r.flushed)
	r.hub.tails.Add(int64(r.tail.bytes - size))
	r.pace.add(added, now)
	waiters := r.ready()
	if r.flushed < r.tail.head && !r.flushing {
		r.schedule(now)
	}
	r.mu.Unlock()
	r.hub.settle(waiters)
}

// reject asks for the feed again: what came is not usable.
func (r *Room) reject(reason string) {
	r.hub.met.dropped.WithLabelValues(reason).Inc()
	r.hub.log.Warn("block not usable, subscribing again", "reason", reason)
	r.hub.core.Resubscribe(r.name)
}

// Gap implements upstream.Feed: the tail begins anew behind it. Members that
// have not come so far ask history, which says what is left.
func (r *Room) Gap(g *rpc.FeedGap) {
	r.mu.Lock()
	if r.closed || !r.live || g.GetEpoch() != r.epoch || g.GetLast() <= r.tail.head {
		r.mu.Unlock()
		return
	}
	r.hub.tails.Add(-int64(r.tail.bytes))
	r.tail.reset(g.GetLast())
	r.flushed, r.sweep = g.GetLast(), true
	waiters := r.ready()
	r.queueFlush()
	r.mu.Unlock()
	r.hub.met.feedGaps.Inc()
	r.hub.settle(waiters)
}

// Gone implements upstream.Feed: core dropped the room. It comes back, under
// another epoch, with the next statement of who is in it.
func (r *Room) Gone(g *rpc.RoomGone) {
	r.mu.Lock()
	again := !r.closed && r.live && g.GetEpoch() == r.epoch
	if again {
		r.members = 0
	}
	r.mu.Unlock()
	if again {
		r.hub.core.Resubscribe(r.name)
	}
}

// Update implements upstream.Feed.
func (r *Room) Update(u *rpc.RoomUpdate) {
	r.mu.Lock()
	if r.closed || !r.live || u.GetEpoch() != r.epoch {
		r.mu.Unlock()
		return
	}
	if u.GetMembers() != r.members || len(u.GetJoined())+len(u.GetLeft()) > 0 {
		r.members, r.presence = u.GetMembers(), true
		r.joined = note(r.joined, u.GetJoined())
		r.gone = note(r.gone, u.GetLeft())
	}
	if s := u.GetSurvive(); s != "" {
		r.survive = s
	}
	state, before := u.GetPolicy() != nil, r.policy.Load()
	if state {
		r.policy.Store(u.GetPolicy())
	}
	was := r.moderation.Load()
	if u.GetModeration() != nil {
		r.moderation.Store(u.GetModeration())
	}
	r.mu.Unlock()
	r.crowd()
	if u.GetModeration() != nil {
		r.sanction(was, u.GetModeration())
	}
	r.restand(before)
	if state {
		r.push(&wire.ServerFrame{Body: &wire.ServerFrame_Room{Room: r.State()}}, staleState)
	}
	r.pushPresence(r.hub.now())
}

// maxPresenceNames bounds who came and went in one push; the count is right
// whatever is left out.
const maxPresenceNames = 100

func note(list []*wire.Member, users []*rpc.UserPresence) []*wire.Member {
	for _, u := range users[:min(len(users), max(0, maxPresenceNames-len(list)))] {
		list = append(list, &wire.Member{User: u.GetUser(), Name: u.GetName(), Sessions: u.GetSessions()})
	}
	return list
}

// crowd tells upstream whether names still count.
func (r *Room) crowd() {
	limit := uint64(r.policy.Load().GetRosterLimit())
	r.mu.Lock()
	members := r.members
	r.mu.Unlock()
	if limit > 0 {
		r.hub.core.Crowded(r.name, members > limit)
	}
}

// State is what clients are told of the room's policy.
func (r *Room) State() *wire.RoomState {
	p := r.policy.Load()
	return &wire.RoomState{Room: r.name, Survive: r.Survive(), SlowModeMs: p.GetSlowModeMs(), MessageBytes: p.GetMessageBytes()}
}
