package room

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Load replaces the state by what r holds. An error is r's, or ErrCorrupt.
func (s *Shard) Load(r machine.Reader) error {
	s.reset()
	for _, part := range []struct {
		kind byte
		load func(key, value []byte) bool
	}{
		{keyClock, s.loadClock},
		{keyPolicies, s.loadPolicies},
		{keyLane, s.loadLane},
		{keyHold, s.loadHold},
		{keyRoom, s.loadRoom},
		{keyBlock, s.loadBlock},
		{keyEdge, s.loadEdge},
		{keyUser, s.loadUser},
		{keyTombstone, s.loadTombstone},
		{keySanction, s.loadSanction},
		{keySlow, s.loadSlow},
		{keyAudit, s.loadAudit},
	} {
		var bad error
		err := r.Scan([]byte{part.kind}, []byte{part.kind + 1}, false, func(key, value []byte) bool {
			v, err := machine.OpenSeal(key, value)
			if err == nil && !part.load(key[1:], v) {
				err = fmt.Errorf("stored %c record %x does not fit the others: %w", part.kind, key[1:], ErrCorrupt)
			}
			bad = err
			return err == nil
		})
		if err == nil {
			err = bad
		}
		if err != nil {
			return fmt.Errorf("load shard %d: %w", s.id, err)
		}
	}
	for _, r := range s.rooms {
		if !r.complete() {
			return fmt.Errorf("load shard %d: room %q lacks blocks: %w", s.id, r.name, ErrCorrupt)
		}
	}
	for _, m := range s.moderated {
		s.expiries.set(m)
	}
	plantedReuse(s)
	return nil
}

func (s *Shard) loadClock(_, v []byte) bool {
	f := fields{b: v}
	s.time = int64(f.uvarint())
	return !f.bad
}

func (s *Shard) loadPolicies(_, v []byte) bool {
	p := &rpc.Policies{}
	if proto.Unmarshal(v, p) != nil {
		return false
	}
	s.table = newTable(p.Version, p.Policies)
	return true
}

func (s *Shard) loadLane(k, v []byte) bool {
	if len(k) != 8 {
		return false
	}
	f := fields{b: v}
	l := &lane{edge: binary.BigEndian.Uint64(k), rooms: make(map[*room]struct{})}
	l.name, l.region = f.text(), f.text()
	l.ttl, l.until, l.generation, l.next = int64(f.uvarint()), int64(f.uvarint()), f.uvarint(), f.uvarint()
	s.lanes[l.edge] = l
	s.nextLapse = min(s.nextLapse, l.until)
	return !f.bad
}

func (s *Shard) loadHold(k, _ []byte) bool {
	if len(k) < 8 {
		return false
	}
	l := s.lanes[binary.BigEndian.Uint64(k)]
	if l == nil {
		return false
	}
	if l.held == nil {
		l.held = make(map[string]struct{})
	}
	l.held[string(k[8:])] = struct{}{}
	return true
}

func (s *Shard) loadRoom(k, v []byte) bool {
	r, ok := decodeRoom(string(k), v)
	if !ok {
		return false
	}
	if r.version == s.table.version {
		r.policy = s.table.match(r.name)
	}
	s.rooms[r.name] = r
	s.order.insert(r)
	s.timers.set(r, r.due)
	return true
}

// decodeRoom reads what storeRoom wrote.
func decodeRoom(name string, v []byte) (*room, bool) {
	f := fields{b: v}
	r := &room{name: name, timer: -1}
	r.epoch, r.created, r.active = f.uvarint(), int64(f.uvarint()), int64(f.uvarint())
	r.first, r.head, r.keys.first = f.uvarint(), f.uvarint(), f.uvarint()
	r.tokens, r.tokensAt = int64(f.uvarint()), int64(f.uvarint())
	r.version = f.uvarint()
	r.due = int64(f.uvarint())
	r.print = f.fixed64()
	if f.bad || len(f.b) != 1 || r.first == 0 || r.keys.first == 0 || r.first > r.head+1 || r.keys.first > r.head+1 {
		return nil, false
	}
	r.countsOnly = f.b[0]&1 != 0
	r.path = appendRoomKey(nil, r.epoch, r.name)
	return r, true
}

// loadBlock takes up a block where the one before ended.
func (s *Shard) loadBlock(k, v []byte) bool {
	epoch, name, rest, ok := cutRoomKey(k)
	r := s.rooms[string(name)]
	if !ok || r == nil || r.epoch != epoch || len(rest) != 8 {
		return false
	}
	b, ok := parseBlock(v)
	if !ok || b.first != binary.BigEndian.Uint64(rest) {
		return false
	}
	if n := r.blocks.len(); n > 0 && r.blocks.at(n-1).last()+1 != b.first {
		return false
	}
	r.blocks.push(b.blockInfo)
	for i := range b.count {
		seq := b.first + uint64(i)
		record, message, rest, ok := protocol.NextRecord(b.records)
		if !ok {
			return false
		}
		mark, ok := protocol.RecordMarkOf(message)
		if !ok {
			return false
		}
		if mark.Retracts != 0 {
			r.loadRetraction(seq, mark.Retracts)
		}
		b.records = rest
		if seq >= r.first {
			r.sizes.push(uint32(len(record)))
			r.bytes += uint64(len(record))
		}
		if seq >= r.keys.first {
			h, bodyHash := b.hashes(i)
			if plantedForget() {
				h = keyHash{} // nobody's
			}
			r.keys.add(&h, bodyHash)
		}
	}
	return true
}

// complete reports whether the blocks hold all that the room remembers.
func (r *room) complete() bool {
	if n := r.blocks.len(); n > 0 && r.blocks.at(n-1).last() != r.head {
		return false
	}
	if x := r.retractions; x != nil && x.loaded != len(x.by) {
		return false
	}
	return uint64(r.sizes.len()) == r.head+1-r.first && uint64(r.keys.len()) == r.head+1-r.keys.first
}

func (s *Shard) loadEdge(k, v []byte) bool {
	epoch, name, rest, ok := cutRoomKey(k)
	r := s.rooms[string(name)]
	if !ok || r == nil || r.epoch != epoch || len(rest) != 8 {
		return false
	}
	l := s.lanes[binary.BigEndian.Uint64(rest)]
	f := fields{b: v}
	n := uint32(f.uvarint())
	if l == nil || f.bad || n == 0 {
		return false
	}
	if r.edges == nil {
		r.edges = make(map[uint64]uint32)
	}
	r.edges[l.edge] = n
	r.members += uint64(n)
	l.rooms[r] = struct{}{}
	return true
}

// loadUser is given each room's users by edge, then id, so that seats are
// appended in order.
func (s *Shard) loadUser(k, v []byte) bool {
	epoch, name, rest, ok := cutRoomKey(k)
	r := s.rooms[string(name)]
	if !ok || r == nil || r.epoch != epoch || len(rest) < 8 {
		return false
	}
	edge, id := binary.BigEndian.Uint64(rest), string(rest[8:])
	f := fields{b: v}
	n := uint32(f.uvarint())
	display := f.text()
	if _, known := r.edges[edge]; !known || f.bad || n == 0 {
		return false
	}
	if r.users == nil {
		r.users = make(map[string]*user)
	}
	u := r.users[id]
	if u == nil {
		u = &user{}
		r.users[id] = u
	}
	u.seats = append(u.seats, seat{edge, n, display})
	r.named += uint64(n)
	return true
}

// block is a stored block, opened.
type block struct {
	blockInfo
	head    []byte // hashes
	records []byte
}

func parseBlock(v []byte) (block, bool) {
	if len(v) < blockHead {
		return block{}, false
	}
	b := block{blockInfo: blockInfo{
		first: binary.LittleEndian.Uint64(v),
		time:  int64(binary.LittleEndian.Uint64(v[8:])),
		count: binary.LittleEndian.Uint32(v[16:]),
	}}
	v = v[blockHead:]
	if n := uint64(b.count) * blockRecord; b.count == 0 || n > uint64(len(v)) {
		return block{}, false
	} else {
		b.head, b.records = v[:n], v[n:]
	}
	return b, true
}

func (b *block) hashes(i uint32) (keyHash, uint64) {
	h := b.head[int(i)*blockRecord:]
	return keyHash(h[:16]), binary.LittleEndian.Uint64(h[16:])
}
