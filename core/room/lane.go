package room

import (
	"encoding/binary"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Limits of lanes.
const (
	// MaxLanes bounds the edge incarnations that a shard knows. One more is
	// refused with a reset (overloaded).
	MaxLanes = 1 << 14
	// MaxHolds bounds the rooms that a lane holds, and the commands of a
	// section: a section that could pass it is reset (overloaded), and the
	// lane's next generation begins without holds.
	MaxHolds = 1 << 16

	minTTL = 1_000   // ms; below, a garbage collection would end a lease
	maxTTL = 600_000 // ms; a dead edge's members are seen for as long
)

// lane is what the shard knows of one edge incarnation.
type lane struct {
	edge         uint64
	name, region string
	ttl          int64 // ms
	until        int64 // the lease holds while time <= until
	generation   uint64
	next         uint64              // ordinal that continues the generation; >= 2
	held         map[string]struct{} // rooms in which a publish was refused for now

	rooms map[*room]struct{} // where the edge has sessions
	dirty bool
}

// accept decides whether a section of a lane may be applied, and opens or
// renews the lane. fresh says that the shard did not know it.
func (s *Shard) accept(sec *section) (l *lane, fresh bool, reset protocol.Code) {
	starts := sec.first == 1 && len(sec.commands) > 0 && sec.commands[0].op == opLease
	var lease *rpc.Lease
	if starts {
		lease = decodeLease(sec.commands[0].body)
		starts = lease != nil
	}
	l = s.lanes[sec.edge]
	switch {
	case l == nil && !starts:
		return nil, false, protocol.LaneUnknown
	case l == nil && len(s.lanes) >= s.limits.lanes, len(sec.commands) > s.limits.holds:
		return nil, false, protocol.Overloaded
	case l == nil:
		l = &lane{edge: sec.edge, rooms: make(map[*room]struct{})}
		s.lanes[sec.edge] = l
		fresh = true
	case sec.generation < l.generation:
		return nil, false, protocol.Fenced
	case sec.generation > l.generation && !starts:
		return nil, false, protocol.Fenced
	case sec.generation == l.generation && sec.first != l.next:
		return nil, false, protocol.Fenced
	case sec.generation == l.generation && len(l.held)+len(sec.commands) > s.limits.holds:
		return nil, false, protocol.Overloaded
	}
	if fresh || sec.generation > l.generation {
		l.generation, l.next = sec.generation, 1
		s.clearHolds(l)
		l.renew(lease)
	}
	l.next += uint64(len(sec.commands))
	s.extend(l)
	return l, fresh, protocol.OK
}

func decodeLease(body []byte) *rpc.Lease {
	lease := &rpc.Lease{}
	if proto.Unmarshal(body, lease) != nil || len(lease.Edge) > protocol.MaxName || len(lease.Region) > protocol.MaxName {
		return nil
	}
	return lease
}

func (l *lane) renew(lease *rpc.Lease) {
	l.name, l.region = lease.Edge, lease.Region
	l.ttl = min(max(int64(lease.TtlMs), minTTL), maxTTL)
}

// extend lets a lane's lease hold from now on for its ttl.
func (s *Shard) extend(l *lane) {
	l.until = s.time + l.ttl
	s.nextLapse = min(s.nextLapse, l.until)
	if !l.dirty {
		l.dirty = true
		s.dirty = append(s.dirty, l)
	}
}

// lapse drops the lanes whose lease is over, and their members with them.
func (s *Shard) lapse() {
	if s.time <= s.nextLapse {
		return
	}
	s.nextLapse = never
	for _, edge := range slices.Sorted(maps.Keys(s.lanes)) {
		l := s.lanes[edge]
		if s.time <= l.until {
			s.nextLapse = min(s.nextLapse, l.until)
			continue
		}
		for _, r := range slices.SortedFunc(maps.Keys(l.rooms), func(a, b *room) int { return byName(a, b.name) }) {
			s.touch(r)
			s.leave(r, l)
		}
		s.clearHolds(l)
		s.batch.Delete(laneKey(keyLane, edge))
		delete(s.lanes, edge)
	}
}

// renewAll extends every lease: an election took time that no edge could use.
func (s *Shard) renewAll() {
	for _, edge := range slices.Sorted(maps.Keys(s.lanes)) {
		s.extend(s.lanes[edge])
	}
}

func (l *lane) holds(room []byte) bool {
	if len(l.held) == 0 {
		return false
	}
	_, ok := l.held[string(room)]
	return ok
}

// hold makes the lane refuse later publishes to room until they are released.
func (s *Shard) hold(l *lane, room string) {
	if l.held == nil {
		l.held = make(map[string]struct{})
	}
	if _, ok := l.held[room]; ok {
		return
	}
	l.held[room] = struct{}{}
	k := append(laneKey(keyHold, l.edge), room...)
	s.batch.Set(k, machine.CloseSeal(k, machine.AppendSeal(nil)))
}

func (s *Shard) release(l *lane, room string) {
	if _, ok := l.held[room]; ok {
		delete(l.held, room)
		s.batch.Delete(append(laneKey(keyHold, l.edge), room...))
	}
}

func (s *Shard) clearHolds(l *lane) {
	if len(l.held) > 0 {
		l.held = nil
		lo := laneKey(keyHold, l.edge)
		s.batch.DeleteRange(lo, machine.PrefixEnd(lo))
	}
}

func laneKey(kind byte, edge uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, edge)
}

func (s *Shard) storeLane(l *lane) {
	k := append(s.key[:0], keyLane)
	k = binary.BigEndian.AppendUint64(k, l.edge)
	v := appendText(appendText(machine.AppendSeal(s.value), l.name), l.region)
	for _, n := range []uint64{uint64(l.ttl), uint64(l.until), l.generation, l.next} {
		v = binary.AppendUvarint(v, n)
	}
	s.batch.Set(k, machine.CloseSeal(k, v))
	s.key, s.value = k, v
	l.dirty = false
}
