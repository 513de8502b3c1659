package room

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of moderation. One more is refused (overloaded).
const (
	// MaxSanctions bounds the sanctions on one room's name: all of them are told
	// to every edge that has the room, in one message of 2 MiB at most.
	MaxSanctions = 4096
	// MaxShardSanctions bounds those of a shard, to about 300 MB of memory.
	MaxShardSanctions = 1 << 20
	// MaxModerated bounds the names of a shard that have sanctions or a slow mode
	// of their own.
	MaxModerated = 1 << 16
)

// The actions of rpc.Moderate; the first and third are those of rpc.Sanction.
const (
	actMute    = "mute"
	actUnmute  = "unmute"
	actBan     = "ban"
	actUnban   = "unban"
	actSlow    = "slow"
	actRetract = "retract"
)

// moderation is what moderators have decided about a room's name, whether there
// is such a room at the moment or not. A name of which nothing is decided has
// none.
type moderation struct {
	name  string
	now   *rpc.Moderation // replaced, never changed: readers and edges share it
	due   int64           // the least until of the sanctions; never if none ends by itself
	place int             // in expiries; -1 none
}

// find looks for a user's sanction of a kind in the order of rpc.Moderation.
func (m *moderation) find(user, action string) (int, bool) {
	return slices.BinarySearchFunc(m.now.Sanctions, user, func(s *rpc.Sanction, user string) int {
		return cmp.Or(cmp.Compare(s.User, user), cmp.Compare(s.Action, action))
	})
}

// holds says whether a sanction is in force, for a user of some rank.
func holds(s *rpc.Sanction, rank uint32, now int64) bool {
	return rank < s.Rank && (s.UntilMs == 0 || now < s.UntilMs)
}

// Sanctioned says what a user of some rank may not do at a time: Banned, Muted
// or OK, and for how long still (ms; 0: until it is lifted). m may be nil.
func Sanctioned[T string | []byte](m *rpc.Moderation, user T, rank uint32, now int64) (code protocol.Code, left int64) {
	if m == nil {
		return protocol.OK, 0
	}
	list := m.Sanctions
	lo, hi := 0, len(list)
	for lo < hi { // by hand: a user in the payload is looked up without a copy
		if mid := (lo + hi) / 2; list[mid].User < string(user) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < len(list) && list[lo].User == string(user); lo++ {
		s := list[lo]
		if !holds(s, rank, now) {
			continue
		}
		left = 0
		if s.UntilMs != 0 {
			left = s.UntilMs - now
		}
		if s.Action == actBan {
			return protocol.Banned, left
		}
		code = protocol.Muted
	}
	return code, left
}

// slow is how long a user must wait between two messages, 0: as the policy says.
func (m *moderation) slow() uint32 {
	if m == nil {
		return 0
	}
	return m.now.SlowModeMs
}

// told is what is told of it; nil when there is nothing.
func (m *moderation) told() *rpc.Moderation {
	if m == nil {
		return nil
	}
	return m.now
}

// moderationOf returns what is decided about a name; nil when that is nothing
// and the shard has MaxModerated already.
func (s *Shard) moderationOf(name string) *moderation {
	if m := s.moderated[name]; m != nil || len(s.moderated) >= s.limits.moderated {
		return m
	}
	return s.makeModeration(name)
}

func (s *Shard) makeModeration(name string) *moderation {
	m := &moderation{name: name, now: &rpc.Moderation{}, due: never, place: -1}
	s.moderated[name] = m
	if r := s.rooms[name]; r != nil {
		r.mod = m
	}
	return m
}

// decide replaces what is decided about a name, forgets it if that is nothing
// now, and tells the room.
func (s *Shard) decide(m *moderation, now *rpc.Moderation) {
	s.sanctions += len(now.Sanctions) - len(m.now.Sanctions)
	slow := now.SlowModeMs != m.now.SlowModeMs
	m.now = now
	s.expiries.set(m)
	r := s.rooms[m.name]
	if len(now.Sanctions) == 0 && now.SlowModeMs == 0 {
		s.expiries.remove(m)
		delete(s.moderated, m.name)
		if r != nil {
			r.mod = nil
		}
	}
	if r != nil {
		s.touch(r)
		r.entry.moderation = now
		r.entry.policy = r.entry.policy || slow
	}
}

// expire removes the sanctions of a name that are over.
func (s *Shard) expire(m *moderation) {
	if s.time < m.due {
		return
	}
	now := &rpc.Moderation{SlowModeMs: m.now.SlowModeMs}
	for _, x := range m.now.Sanctions {
		if x.UntilMs != 0 && x.UntilMs <= s.time {
			s.batch.Delete(sanctionKey(m.name, x))
		} else {
			now.Sanctions = append(now.Sanctions, x)
		}
	}
	s.decide(m, now)
}

// expireDue does so for all names, sweepRooms of them an entry.
func (s *Shard) expireDue() {
	for range sweepRooms {
		if len(s.expiries) == 0 || s.expiries[0].due > s.time {
			return
		}
		s.expire(s.expiries[0])
	}
}

// policyOf is a room's policy as it is told: with the slow mode that moderators
// set.
func policyOf(p *rpc.Policy, m *moderation) *rpc.Policy {
	if m.slow() == 0 || m.slow() == p.SlowModeMs {
		return p
	}
	p = proto.Clone(p).(*rpc.Policy)
	p.SlowModeMs = m.slow()
	return p
}

// Moderation is what is decided about a room's name, whether the room exists or
// not; nil when that is nothing. It is shared and never changed.
func (s *Shard) Moderation(name string) *rpc.Moderation { return s.moderated[name].told() }

// expiries orders the names by when their next sanction ends by itself.
type expiries []*moderation

func (e expiries) Len() int { return len(e) }
func (e expiries) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].due, e[j].due), cmp.Compare(e[i].name, e[j].name)) < 0
}

func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i, j
}

func (e *expiries) Push(x any) {
	m := x.(*moderation)
	m.place = len(*e)
	*e = append(*e, m)
}

func (e *expiries) Pop() any {
	last := len(*e) - 1
	m := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	m.place = -1
	return m
}

// set puts a name where its sanctions belong.
func (e *expiries) set(m *moderation) {
	m.due = never
	for _, s := range m.now.Sanctions {
		if s.UntilMs != 0 {
			m.due = min(m.due, s.UntilMs)
		}
	}
	switch {
	case m.due == never:
		e.remove(m)
	case m.place < 0:
		heap.Push(e, m)
	default:
		heap.Fix(e, m.place)
	}
}

func (e *expiries) remove(m *moderation) {
	if m.place >= 0 {
		heap.Remove(e, m.place)
	}
}

// sanctionKey: a name is behind its length, as in a room key; mute and ban are
// their first letter.
func sanctionKey(name string, x *rpc.Sanction) []byte {
	k := append([]byte{keySanction, byte(len(name))}, name...)
	return append(append(k, x.Action[0]), x.User...)
}

func (s *Shard) storeSanction(name string, x *rpc.Sanction) {
	v := binary.AppendUvarint(uvarint(uint64(x.UntilMs)), uint64(x.Rank))
	s.put(sanctionKey(name, x), appendText(appendText(v, x.Actor), x.Reason))
}

func slowKey(name string) []byte { return append([]byte{keySlow}, name...) }

// loadModeration is moderationOf without a limit: what is stored counts.
func (s *Shard) loadModeration(name string) *moderation {
	if m := s.moderated[name]; m != nil {
		return m
	}
	return s.makeModeration(name)
}

func (s *Shard) loadSanction(k, v []byte) bool {
	if len(k) < 1 || len(k) < 1+int(k[0])+2 {
		return false
	}
	name, action, user := string(k[1:1+k[0]]), k[1+k[0]], string(k[2+k[0]:])
	f := fields{b: v}
	x := &rpc.Sanction{User: user, UntilMs: int64(f.uvarint()), Rank: uint32(f.uvarint()), Actor: f.text(), Reason: f.text()}
	switch action {
	case actMute[0]:
		x.Action = actMute
	case actBan[0]:
		x.Action = actBan
	default:
		return false
	}
	m := s.loadModeration(name)
	i, found := m.find(x.User, x.Action)
	if found || f.bad {
		return false
	}
	m.now.Sanctions = slices.Insert(m.now.Sanctions, i, x)
	s.sanctions++
	return true
}

func (s *Shard) loadSlow(k, v []byte) bool {
	f := fields{b: v}
	m := s.loadModeration(string(k))
	m.now.SlowModeMs = uint32(f.uvarint())
	return !f.bad && m.now.SlowModeMs != 0
}
