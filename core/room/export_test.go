package room

import (
	"encoding/binary"
	"fmt"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol"
)

// SetLimits makes the limits reachable for tests.
func (s *Shard) SetLimits(rooms, lanes, holds, keys int) {
	s.limits.rooms, s.limits.lanes, s.limits.holds, s.limits.keys = rooms, lanes, holds, keys
}

// SetModerationLimits does so for those of moderation; 0 keeps one.
func (s *Shard) SetModerationLimits(sanctions, all, names, audit int) {
	for limit, to := range map[*int]int{&s.limits.sanctions: sanctions, &s.limits.allSanctions: all, &s.limits.moderated: names, &s.limits.audit: audit} {
		if to != 0 {
			*limit = to
		}
	}
}

// SetHead pretends that a room has had head messages.
func (s *Shard) SetHead(room string, head uint64) {
	r := s.rooms[room]
	r.head, r.first, r.keys.first = head, head+1, head+1
}

// Check proves the invariants that are written beside the fields, and that the
// store says the same as memory.
func (s *Shard) Check(r machine.Reader) error {
	if s.time < 0 || s.time > maxTime {
		return fmt.Errorf("time %d", s.time)
	}
	n, last := 0, ""
	s.order.after("", func(r *room) bool {
		if r.name <= last || s.rooms[r.name] != r {
			return false
		}
		last = r.name
		n++
		return true
	})
	if n != len(s.rooms) {
		return fmt.Errorf("names hold %d of %d rooms, or not in order", n, len(s.rooms))
	}
	if len(s.timers) != len(s.rooms) {
		return fmt.Errorf("%d timers for %d rooms", len(s.timers), len(s.rooms))
	}
	for i, r := range s.timers {
		if r.timer != i || i > 0 && s.timers.Less(i, (i-1)/2) {
			return fmt.Errorf("timer of room %s is out of place", r.name)
		}
	}
	for _, l := range s.lanes {
		if l.edge == 0 || l.next < 2 || l.until < s.nextLapse || len(l.held) > s.limits.holds || l.dirty {
			return fmt.Errorf("lane %d: %+v", l.edge, l)
		}
		for r := range l.rooms {
			if r.edges[l.edge] == 0 || s.rooms[r.name] != r {
				return fmt.Errorf("lane %d is said to be in %s", l.edge, r.name)
			}
		}
	}
	if err := s.checkModeration(r); err != nil {
		return err
	}
	for name, room := range s.rooms {
		if err := s.checkRoom(room, r); err != nil {
			return fmt.Errorf("room %s: %w", name, err)
		}
	}
	return nil
}

func (s *Shard) checkRoom(r *room, store machine.Reader) error {
	if r.first < 1 || r.first > r.head+1 || r.keys.first < 1 || r.keys.first > r.head+1 {
		return fmt.Errorf("first %d, keyFirst %d, head %d", r.first, r.keys.first, r.head)
	}
	if r.created > r.active || r.active > s.time {
		return fmt.Errorf("created %d, active %d, time %d", r.created, r.active, s.time)
	}
	if uint64(r.sizes.len()) != r.head+1-r.first || uint64(r.keys.len()) != r.head+1-r.keys.first || r.keys.used > r.keys.len() {
		return fmt.Errorf("%d sizes, %d keys, %d slots; first %d, keys.first %d, head %d",
			r.sizes.len(), r.keys.len(), r.keys.used, r.first, r.keys.first, r.head)
	}
	if r.keys.len() > s.limits.keys {
		return fmt.Errorf("%d keys", r.keys.len())
	}
	if r.policy != nil && (r.sizes.len() > int(r.policy.RetainMessages) || r.bytes > r.policy.RetainBytes) {
		return fmt.Errorf("retains %d messages, %d bytes", r.sizes.len(), r.bytes)
	}
	var members, named uint64
	for edge, n := range r.edges {
		members += uint64(n)
		if l := s.lanes[edge]; l == nil || n == 0 {
			return fmt.Errorf("%d sessions of edge %d", n, edge)
		}
	}
	for id, u := range r.users {
		named += u.sessions()
		for i, seat := range u.seats {
			if seat.sessions == 0 || r.edges[seat.edge] == 0 || i > 0 && u.seats[i-1].edge >= seat.edge {
				return fmt.Errorf("seats of %s: %v", id, u.seats)
			}
		}
	}
	if members != r.members || named != r.named || r.countsOnly && len(r.users) > 0 {
		return fmt.Errorf("members %d, counted %d; named %d, counted %d, counts only %t", r.members, members, r.named, named, r.countsOnly)
	}
	if r.policy != nil && len(r.users) > int(r.policy.RosterLimit) {
		return fmt.Errorf("roster of %d", len(r.users))
	}
	if r.entry.touched || r.entry.block != nil || r.entry.was != nil {
		return fmt.Errorf("entry state is left over: %+v", r.entry)
	}
	if err := r.checkRetractions(store); err != nil {
		return err
	}
	return r.checkStored(store)
}

// checkModeration compares what is decided with its bounds and with the store.
func (s *Shard) checkModeration(store machine.Reader) error {
	all, timed := 0, 0
	for name, m := range s.moderated {
		if len(m.now.Sanctions) == 0 && m.now.SlowModeMs == 0 || len(m.now.Sanctions) > s.limits.sanctions || m.name != name {
			return fmt.Errorf("moderation of %s: %v", name, m.now)
		}
		due := never
		for i, x := range m.now.Sanctions {
			if x.UntilMs != 0 {
				due = min(due, x.UntilMs)
			}
			if j, ok := m.find(x.User, x.Action); !ok || i != j {
				return fmt.Errorf("moderation of %s is not in order: %v", name, m.now)
			}
			if _, ok, _ := store.Get(sanctionKey(name, x)); !ok {
				return fmt.Errorf("not stored: %v of %s", x, name)
			}
		}
		if due != m.due || (due == never) != (m.place < 0) || m.place >= 0 && s.expiries[m.place] != m {
			return fmt.Errorf("moderation of %s is due at %d, not %d", name, due, m.due)
		}
		if m.place >= 0 {
			timed++
		}
		if r := s.rooms[name]; r != nil && r.mod != m {
			return fmt.Errorf("room %s does not know of its moderation", name)
		}
		all += len(m.now.Sanctions)
	}
	for name, r := range s.rooms {
		if r.mod != s.moderated[name] {
			return fmt.Errorf("room %s has a moderation of its own", name)
		}
	}
	for i, m := range s.expiries {
		if m.place != i || i > 0 && s.expiries.Less(i, (i-1)/2) {
			return fmt.Errorf("the expiry of %s is out of place", m.name)
		}
	}
	stored := 0
	_ = store.Scan([]byte{keySanction}, []byte{keySanction + 1}, false, func(_, _ []byte) bool { stored++; return true })
	if all != s.sanctions || all != stored || all > s.limits.allSanctions || timed != len(s.expiries) || len(s.moderated) > s.limits.moderated {
		return fmt.Errorf("%d sanctions, %d counted, %d stored; %d of %d names end", all, s.sanctions, stored, timed, len(s.expiries))
	}
	if s.audit.len() > s.limits.audit {
		return fmt.Errorf("%d audit records", s.audit.len())
	}
	return nil
}

// checkRetractions compares them with the tombstones.
func (r *room) checkRetractions(store machine.Reader) error {
	x := r.retractions
	if x == nil {
		x = &retractions{}
	} else if len(x.by) == 0 && x.said.len() == 0 {
		return fmt.Errorf("retractions of nothing")
	}
	first := uint64(0)
	if r.blocks.len() > 0 {
		first = r.blocks.at(0).first
	}
	stored := 0
	path := append([]byte{keyTombstone}, r.path...)
	var bad error
	_ = store.Scan(path, machine.PrefixEnd(path), false, func(k, _ []byte) bool {
		stored++
		seq := binary.BigEndian.Uint64(k[len(k)-8:])
		if by, ok := x.by[seq]; !ok || !r.retracts(by) || by <= seq || seq < first || by > r.head {
			bad = fmt.Errorf("tombstone of %d", seq)
		}
		return true
	})
	if bad == nil && stored != len(x.by) {
		bad = fmt.Errorf("%d tombstones of %d retractions", stored, len(x.by))
	}
	return bad
}

// checkStored compares the blocks and their bytes with what memory says.
func (r *room) checkStored(store machine.Reader) error {
	i, stored := 0, uint64(0)
	path := append([]byte{keyBlock}, r.path...)
	var bad error
	err := store.Scan(path, machine.PrefixEnd(path), false, func(k, v []byte) bool {
		content, err := machine.OpenSeal(k, v)
		if err != nil {
			bad = err
			return false
		}
		b, ok := parseBlock(content)
		if !ok || i >= r.blocks.len() || b.blockInfo != *r.blocks.at(i) {
			bad = fmt.Errorf("block %d is stored as %+v", i, b.blockInfo)
			return false
		}
		for seq := b.first; len(b.records) > 0; seq++ {
			record, _, rest, ok := protocol.NextRecord(b.records)
			if !ok {
				bad = fmt.Errorf("block %d: damaged records", i)
				return false
			}
			if seq >= r.first {
				stored += uint64(len(record))
			}
			b.records = rest
		}
		i++
		return true
	})
	if err == nil {
		err = bad
	}
	if err == nil && (i != r.blocks.len() || stored != r.bytes) {
		err = fmt.Errorf("%d of %d blocks, %d of %d bytes are stored", i, r.blocks.len(), stored, r.bytes)
	}
	return err
}
