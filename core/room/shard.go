package room

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const (
	// maxTime bounds the clock, so that no sum of times overflows: the year 37,000.
	maxTime = 1 << 50
	// sweepRooms bounds the rooms that one entry looks at because something is
	// due in them: a few hundred microseconds.
	sweepRooms = 64
	// sweepBlocks bounds the blocks that one entry forgets or deletes besides
	// two for each room it touches, which is more than it can have appended.
	sweepBlocks = 1024
)

// limits are the named limits; tests use smaller ones.
type limits struct {
	rooms, lanes, holds, keys          int
	sanctions, allSanctions, moderated int
	audit                              int
}

// Shard is the state of one shard, a machine.Machine. Apply and Load exclude
// everything else; the other methods may overlap each other.
type Shard struct {
	id     uint32
	limits limits

	// Stored.
	time  int64 // never goes back; 0 <= time <= maxTime
	table *table
	lanes map[uint64]*lane // by edge incarnation
	rooms map[string]*room

	moderated map[string]*moderation  // by room name; none says nothing
	audit     queue[*rpc.AuditRecord] // consecutive indexes, at most limits.audit

	// Derived.
	order     names
	timers    timers
	nextLapse int64 // no lease is over before; <= the least until
	expiries  expiries
	sanctions int // of all names

	// Of the entry being applied, and buffers that outlive it.
	index    uint64
	last     *room // the one published to last
	batch    machine.Batch
	effects  *Effects
	touched  []*room // in order of first touch
	appended []*room // in order of first append
	dirty    []*lane
	sections []section
	commands []command
	pub      publish

	key, value, scratch []byte
	spare               []*blockMaking
}

var _ machine.Machine = (*Shard)(nil)

// New makes an empty shard.
func New(shard uint32) *Shard {
	s := &Shard{id: shard, limits: limits{
		rooms: MaxRooms, lanes: MaxLanes, holds: MaxHolds, keys: MaxKeys,
		sanctions: MaxSanctions, allSanctions: MaxShardSanctions, moderated: MaxModerated, audit: MaxAudit,
	}}
	s.reset()
	return s
}

func (s *Shard) reset() {
	*s = Shard{
		id: s.id, limits: s.limits, table: newTable(0, nil),
		lanes: make(map[uint64]*lane), rooms: make(map[string]*room), nextLapse: never,
		moderated: make(map[string]*moderation),
	}
}

// Apply applies one entry and returns its *Effects. An error is ErrNewer or
// ErrCorrupt; then nothing was applied.
func (s *Shard) Apply(index uint64, payload []byte, b machine.Batch) (any, error) {
	timeMS, err := s.decodeEntry(payload)
	if err != nil {
		return nil, fmt.Errorf("shard %d, entry %d: %w", s.id, index, err)
	}
	s.index, s.batch = index, b
	s.time = max(s.time, min(timeMS, maxTime))
	s.effects = &Effects{Time: s.time, Sections: make([]SectionResult, 0, len(s.sections))}
	if s.hasTerm() {
		s.renewAll()
	}
	s.lapse()
	s.expireDue()
	for range sweepRooms {
		if len(s.timers) == 0 || s.timers[0].due > s.time {
			break
		}
		r := s.timers[0]
		s.timers.remove(r)
		s.touch(r)
	}
	for i := range s.sections {
		s.effects.Sections = append(s.effects.Sections, s.apply(&s.sections[i]))
	}
	return s.finish(), nil
}

// hasTerm says whether a new leader speaks in this entry: leases that ran out
// during its election are renewed rather than lapsed.
func (s *Shard) hasTerm() bool {
	for i := range s.sections {
		if s.sections[i].edge == 0 {
			for _, c := range s.sections[i].commands {
				if c.op == opTerm {
					return true
				}
			}
		}
	}
	return false
}

func (s *Shard) apply(sec *section) SectionResult {
	out := SectionResult{Edge: sec.edge, Generation: sec.generation, First: sec.first}
	if sec.bad {
		out.Reset = protocol.BadCommand
		return out
	}
	var l *lane
	fresh := false
	if sec.edge != 0 {
		if l, fresh, out.Reset = s.accept(sec); out.Reset != protocol.OK {
			return out
		}
	}
	results := make([]rpc.Result, len(sec.commands))
	out.Results = make([]*rpc.Result, len(sec.commands))
	for i, c := range sec.commands {
		out.Results[i] = &results[i]
		if l == nil {
			s.lead(c, &results[i])
		} else {
			s.command(l, c, &results[i])
		}
	}
	if fresh {
		results[0].Seq = 1
	}
	return out
}

// command applies a command of an edge.
func (s *Shard) command(l *lane, c command, res *rpc.Result) {
	switch c.op {
	case opPublish:
		s.publish(l, c.body, res)
	case opPresence:
		s.presence(l, c.body, res)
	case opModerate:
		s.moderate(c.body, rpc.Rank_OWNER, res)
	case opLease:
		lease := decodeLease(c.body)
		if lease == nil {
			res.Code = uint32(protocol.BadCommand)
			return
		}
		l.renew(lease)
		s.extend(l)
	case opRelease:
		release := &rpc.Release{}
		if proto.Unmarshal(c.body, release) != nil {
			res.Code = uint32(protocol.BadCommand)
			return
		}
		for _, room := range release.Rooms {
			s.release(l, room)
		}
	default:
		res.Code = uint32(protocol.BadCommand)
	}
}

// lead applies a command of the shard's leader.
func (s *Shard) lead(c command, res *rpc.Result) {
	switch c.op {
	case opTick, opTerm: // what they do, the entry they are in has done
	case opModerate:
		s.moderate(c.body, rpc.Rank_OPERATOR, res)
	case opPolicies:
		p := &rpc.Policies{}
		if proto.Unmarshal(c.body, p) != nil || !checkPolicies(p) {
			res.Code = uint32(protocol.BadCommand)
			return
		}
		if p.Version > s.table.version {
			s.table = newTable(p.Version, p.Policies)
			k := []byte{keyPolicies}
			s.batch.Set(k, machine.CloseSeal(k, append(machine.AppendSeal(nil), c.body...)))
		}
	default:
		res.Code = uint32(protocol.BadCommand)
	}
}

// finish settles every touched room and stores what is not stored yet.
func (s *Shard) finish() *Effects {
	for _, r := range s.appended {
		s.closeBlock(r)
	}
	budget := sweepBlocks
	for _, r := range s.touched {
		r.trim(s.time)
		budget = min(budget, r.sweep(s.batch, s.time, budget+2))
		s.keepRoster(r)
		if until, ok := r.idle(); ok && s.time > until {
			s.drop(r)
		} else {
			s.timers.set(r, r.nextDue(s.time))
			s.storeRoom(r)
			s.update(r)
		}
		r.entry = roomEntry{}
	}
	for _, l := range s.dirty {
		if s.lanes[l.edge] == l {
			s.storeLane(l)
		}
	}
	k := []byte{keyClock}
	s.batch.Set(k, machine.CloseSeal(k, binary.AppendUvarint(machine.AppendSeal(s.value), uint64(s.time))))

	effects := s.effects
	clear(s.touched)
	clear(s.appended)
	clear(s.dirty)
	clear(s.commands) // they hold the payload
	s.touched, s.appended, s.dirty = s.touched[:0], s.appended[:0], s.dirty[:0]
	s.batch, s.effects, s.pub, s.last = nil, nil, publish{}, nil
	return effects
}

// Due is when the leader should propose a tick: at the next end of a lease or a
// sanction, or when something is to be done in a room.
func (s *Shard) Due() int64 {
	due := s.nextLapse
	if due < never {
		due++
	}
	if len(s.timers) > 0 {
		due = min(due, s.timers[0].due)
	}
	if len(s.expiries) > 0 {
		due = min(due, s.expiries[0].due)
	}
	if due >= never {
		return 0
	}
	return due
}

// Time is the log's clock, Unix milliseconds.
func (s *Shard) Time() int64 { return s.time }

// Len is the number of rooms.
func (s *Shard) Len() int { return len(s.rooms) }

// PoliciesVersion is the version of the policy table in the log, 0 before the
// first.
func (s *Shard) PoliciesVersion() uint64 { return s.table.version }

// Info returns what a room is at the moment; false when there is none.
func (s *Shard) Info(room string) (Info, bool) {
	r := s.rooms[room]
	if r == nil {
		return Info{}, false
	}
	return s.info(r), true
}

// List returns at most limit rooms that match accepts (nil: all), in the order
// of their names, behind after.
func (s *Shard) List(after string, limit int, match func(string) bool) []Info {
	var out []Info
	s.order.after(after, func(r *room) bool {
		if len(out) >= limit {
			return false
		}
		if match == nil || match(r.name) {
			out = append(out, s.info(r))
		}
		return true
	})
	return out
}
