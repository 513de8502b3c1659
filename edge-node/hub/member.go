package hub

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// An Owner is the session behind a member. The hub calls it with no lock held.
type Owner interface {
	// Identity is who the session belongs to.
	Identity() (user, name string)
	// Joined answers a join. The owner sends the reply with records, then calls
	// Activate; until then the member gets nothing.
	Joined(m *Member, reply *wire.Joined, records []byte)
	// JoinFailed answers a join that did not come about; the member has left.
	JoinFailed(m *Member, err *protocol.Error)
	// Sanctioned tells of a sanction that was given or lifted. It may come before
	// Joined, and be told twice. The owner of a member that is banned leaves.
	Sanctioned(m *Member, s *wire.Sanction)
	// Restand: the policy names other owners or moderators; the owner says by
	// SetRank what the member is now.
	Restand(m *Member)
}

// stale says which pushes a member did without, because it was still joining or
// its connection was busy.
type stale uint8

const (
	stalePresence stale = 1 << iota
	staleState
)

type memberState uint8

const (
	joining memberState = iota // the reply has not left yet
	live                       // gets what the room flushes
	lagging                    // its connection was busy: OnWritable brings it on
	reading                    // waits for a page of history
	left
)

// A Member is a cursor: one session in one room. It owns no messages.
type Member struct {
	conn   transport.Conn
	format transport.Format
	sent   *atomic.Int64 // when something was last sent to the connection, for heartbeats

	owner Owner
	room  *Room
	user  string // the owner's
	rank  atomic.Uint32

	// Guarded by shard.mu.
	shard  *shard
	index  int // in shard.members
	state  memberState
	stale  stale  // what was left out, to be sent in its newest form
	cursor uint64 // newest seq sent
	epoch  uint64 // of cursor

	// Join is what was asked for; it is the owner's, the hub reads it while joining.
	Join JoinRequest
}

// JoinRequest is what a join asks for.
type JoinRequest struct {
	ID     uint64 // the owner's
	Epoch  uint64 // of Since; 0 not given
	Since  uint64
	Resume bool // Since was given
	Recent uint32
	Rank   rpc.Rank // of the user in the room
	Role   string   // the same for the reply
}

// NewMember makes a member for Hub.Join. sent is set to the hub's clock
// (Unix nanoseconds) with everything that is sent.
func NewMember(owner Owner, conn transport.Conn, sent *atomic.Int64, join JoinRequest) *Member {
	m := &Member{owner: owner, conn: conn, format: conn.Info().Format, sent: sent, Join: join}
	m.SetRank(join.Rank)
	return m
}

// SetRank says what the member's user is in the room from now on. Anybody may
// call it.
func (m *Member) SetRank(rank rpc.Rank) { m.rank.Store(uint32(rank)) }

// Rank is what SetRank said last.
func (m *Member) Rank() rpc.Rank { return rpc.Rank(m.rank.Load()) }

func (m *Member) view() viewer {
	return viewer{user: m.user, moderates: m.Rank() >= rpc.Rank_MODERATOR}
}

// Room is the room that the member is in.
func (m *Member) Room() *Room { return m.room }

// A shard is some of a room's members: the unit of work when a room flushes.
// Its lock is held while they are written to, a millisecond or two.
type shard struct {
	mu      sync.Mutex // guards the members and what the comment in Member says
	members []*Member
}

// shardSize bounds how long a shard's lock is held: 128 writes of 7 µs.
const shardSize = 128

func (s *shard) add(m *Member) {
	s.mu.Lock()
	m.shard, m.index = s, len(s.members)
	s.members = append(s.members, m)
	s.mu.Unlock()
}

// remove says whether m was there.
func (s *shard) remove(m *Member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.state == left {
		return false
	}
	m.state = left
	end := len(s.members) - 1
	s.members[m.index] = s.members[end]
	s.members[m.index].index = m.index
	s.members[end] = nil
	s.members = s.members[:end]
	return true
}

// Activate lets messages flow: the joined reply has been sent.
func (m *Member) Activate() {
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	if m.state == joining {
		m.bring()
	}
}

// Writable brings a member on whose connection was busy. Like Activate it is
// for members that have joined.
func (m *Member) Writable() {
	s := m.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.state {
	case lagging:
		m.bring()
	case live:
		m.freshen()
	case joining, reading, left:
	}
}

// bring sends what lies between the cursor and what the room has flushed, from
// the tail if it reaches back so far, else by way of the history readers.
// Caller holds shard.mu.
func (m *Member) bring() {
	r := m.room
	for {
		r.mu.Lock()
		epoch, flushed, covered := r.epoch, r.flushed, r.tail.covers(m.cursor)
		var records []byte
		var shadows []shadow
		var last uint64
		behind := m.epoch == epoch && m.cursor < flushed
		if behind && covered {
			records, last = r.tail.read(m.cursor, flushed, maxBatch)
			shadows = r.tail.shadows(m.cursor, last)
		}
		r.mu.Unlock()
		switch {
		case m.epoch != epoch:
			gap := &wire.Gap{Room: r.name, First: m.cursor + 1, Reason: "epoch", Epoch: protocol.FormatEpoch(epoch)}
			if !m.sendGap(gap) {
				return
			}
			m.epoch, m.cursor = epoch, 0
		case !behind:
			m.state = live
			m.freshen()
			return
		case !covered:
			m.state = reading
			r.hub.read(job{member: m})
			return
		default:
			if !m.sendBatch(epoch, m.view().open(records, shadows), last) {
				return
			}
		}
	}
}

// sendBatch sends records and moves the cursor to last; false when the
// connection did not take them. Caller holds shard.mu.
func (m *Member) sendBatch(epoch uint64, records []byte, last uint64) bool {
	image, err := batchImage(m.format, m.room.name, epoch, records)
	if err != nil {
		m.room.hub.met.dropped.WithLabelValues("corrupt").Inc()
		m.state = reading
		m.room.hub.retry(m)
		return false
	}
	if !m.send(image) {
		return false
	}
	m.room.hub.met.deliveries.Add(float64(last - m.cursor))
	m.cursor = last
	return true
}

func (m *Member) sendGap(gap *wire.Gap) bool {
	if !m.send(frameImage(m.format, &wire.ServerFrame{Body: &wire.ServerFrame_Gap{Gap: gap}})) {
		return false
	}
	m.room.hub.met.gaps.WithLabelValues(gap.GetReason()).Inc()
	return true
}

// freshen sends what was left out, in its newest form. Caller holds shard.mu.
func (m *Member) freshen() {
	r := m.room
	for m.stale != 0 {
		var frame wire.ServerFrame
		which := stalePresence
		if m.stale&staleState != 0 {
			which = staleState
			frame.Body = &wire.ServerFrame_Room{Room: r.State()}
		} else {
			r.mu.Lock()
			frame.Body = &wire.ServerFrame_Presence{Presence: &wire.Presence{Room: r.name, Members: r.members}}
			r.mu.Unlock()
		}
		if m.conn.Send(frameImage(m.format, &frame)) != nil {
			return // busy: Writable comes; closed: nothing does
		}
		m.stale &^= which
	}
}

// send gives an image to the connection. When it is busy the member lags until
// Writable. Caller holds shard.mu.
func (m *Member) send(image []byte) bool {
	h := m.room.hub
	switch err := m.conn.Send(image); {
	case err == nil:
		h.met.writes.Inc()
		h.met.bytes.Add(float64(len(image)))
		m.sent.Store(h.clock.Load())
		return true
	case errors.Is(err, transport.ErrBusy):
		if m.state == live {
			h.met.lagged.Inc()
		}
		m.state = lagging
	default:
		m.state = lagging // closed: its owner will leave
	}
	return false
}
