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

// MaxPresenceEvents bounds the users that one update names on either side; the
// count tells the rest.
const MaxPresenceEvents = 256

// Members are absolute statements of edges, so that they may be coalesced,
// repeated and lost with their edge.
//
// A room whose users become more than its policy's roster limit forgets all
// names and keeps counts alone. When its sessions are half the limit or fewer,
// it takes names again; nobody is asked for those it forgot, so its list is
// incomplete (and says so) until they have left or their edge states its whole
// set (replace).

// user is somebody in a room, with sessions on one edge or several.
type user struct {
	seats []seat // ascending by edge, none empty
}

type seat struct {
	edge     uint64
	sessions uint32 // > 0
	name     string
}

// sessions is their sum; 0 for nobody.
func (u *user) sessions() uint64 {
	sum := uint64(0)
	if u == nil {
		return sum
	}
	for i := range u.seats {
		sum += uint64(u.seats[i].sessions)
	}
	return sum
}

func bySeat(s seat, edge uint64) int {
	switch {
	case s.edge < edge:
		return -1
	case s.edge > edge:
		return 1
	}
	return 0
}

// presence applies one Presence of a lane, or nothing of it.
func (s *Shard) presence(l *lane, body []byte, res *rpc.Result) {
	p := &rpc.Presence{}
	if proto.Unmarshal(body, p) != nil || !checkPresence(p) {
		res.Code = uint32(protocol.BadCommand)
		return
	}
	missing := make(map[string]struct{})
	for _, st := range p.Rooms {
		if st.Sessions > 0 && s.rooms[st.Room] == nil {
			missing[st.Room] = struct{}{}
		}
	}
	if len(s.rooms)+len(missing) > s.limits.rooms {
		res.Code = uint32(protocol.Overloaded)
		return
	}
	for _, st := range p.Rooms {
		r := s.rooms[st.Room]
		if r == nil {
			if st.Sessions == 0 {
				continue
			}
			r = s.makeRoom(st.Room)
		}
		s.touch(r)
		r.active = s.time
		if st.Sessions == 0 {
			s.leave(r, l)
		} else {
			s.state(r, l, st)
		}
	}
}

func checkPresence(p *rpc.Presence) bool {
	for _, st := range p.Rooms {
		if !named(st.Room, protocol.MaxRoomName) {
			return false
		}
		for _, u := range st.Users {
			if !named(u.User, protocol.MaxUser) || len(u.Name) > protocol.MaxName {
				return false
			}
		}
	}
	return true
}

// state applies an edge's statement about a room in which it has sessions.
func (s *Shard) state(r *room, l *lane, st *rpc.RoomPresence) {
	if r.edges == nil {
		r.edges = make(map[uint64]uint32)
	}
	r.members += uint64(st.Sessions) - uint64(r.edges[l.edge])
	r.edges[l.edge] = st.Sessions
	l.rooms[r] = struct{}{}
	k := r.edgeKey(l.edge)
	s.batch.Set(k, machine.CloseSeal(k, binary.AppendUvarint(machine.AppendSeal(nil), uint64(st.Sessions))))
	if r.countsOnly {
		return
	}
	if st.Replace {
		stated := make(map[string]struct{}, len(st.Users))
		for _, u := range st.Users {
			stated[u.User] = struct{}{}
		}
		for _, id := range r.usersOn(l.edge) {
			if _, ok := stated[id]; !ok {
				s.seat(r, l.edge, id, "", 0)
			}
		}
	}
	for _, u := range st.Users {
		s.seat(r, l.edge, u.User, u.Name, u.Sessions)
	}
}

// leave removes all sessions of an edge from a room.
func (s *Shard) leave(r *room, l *lane) {
	n, ok := r.edges[l.edge]
	if !ok {
		return
	}
	r.active = s.time
	r.members -= uint64(n)
	delete(r.edges, l.edge)
	delete(l.rooms, r)
	s.batch.Delete(r.edgeKey(l.edge))
	for _, id := range r.usersOn(l.edge) {
		s.seat(r, l.edge, id, "", 0)
	}
}

// usersOn lists the users with a seat on an edge, in order.
func (r *room) usersOn(edge uint64) []string {
	var ids []string
	for id, u := range r.users {
		if _, ok := slices.BinarySearchFunc(u.seats, edge, bySeat); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// seat states a user's sessions on one edge.
func (s *Shard) seat(r *room, edge uint64, id, name string, sessions uint32) {
	u := r.users[id]
	if u == nil {
		if sessions == 0 {
			return
		}
		u = &user{}
	}
	before := u.sessions()
	i, ok := slices.BinarySearchFunc(u.seats, edge, bySeat)
	k := r.userKey(edge, id)
	switch {
	case sessions > 0:
		if !ok {
			u.seats = slices.Insert(u.seats, i, seat{edge: edge})
		}
		if u.seats[i].sessions == sessions && u.seats[i].name == name {
			return
		}
		r.entry.renamed = r.entry.renamed || ok && u.seats[i].name != name
		u.seats[i].sessions, u.seats[i].name = sessions, name
		s.batch.Set(k, machine.CloseSeal(k, appendText(binary.AppendUvarint(machine.AppendSeal(nil), uint64(sessions)), name)))
	case ok:
		u.seats = slices.Delete(u.seats, i, i+1)
		s.batch.Delete(k)
	default:
		return
	}
	if len(u.seats) == 0 {
		delete(r.users, id)
	} else {
		if r.users == nil {
			r.users = make(map[string]*user)
		}
		r.users[id] = u
	}
	r.named += u.sessions() - before
	e := &r.entry
	if e.was == nil {
		e.was = make(map[string]uint64)
	}
	if _, ok := e.was[id]; !ok {
		e.was[id] = before
	}
}

// keepRoster brings the names in line with the roster limit, once an entry.
func (s *Shard) keepRoster(r *room) {
	limit := int(r.policy.RosterLimit)
	switch {
	case !r.countsOnly && len(r.users) > limit:
		lo := append([]byte{keyUser}, r.path...)
		s.batch.DeleteRange(lo, machine.PrefixEnd(lo))
		r.users, r.named, r.countsOnly = nil, 0, true
		r.entry.renamed, r.entry.was = true, nil
	case r.countsOnly && r.members <= uint64(limit/2):
		r.countsOnly = false
	}
}

// update tells what the entry changed for those who watch the room.
func (s *Shard) update(r *room) {
	e := &r.entry
	if e.members == r.members && !e.renamed && !e.policy && e.moderation == nil && e.was == nil {
		return
	}
	u := Update{Room: r.name, Epoch: r.epoch, Members: r.members, Moderation: e.moderation}
	changed := e.members != r.members || e.renamed || e.policy || e.moderation != nil
	for _, id := range slices.Sorted(maps.Keys(e.was)) {
		was, now := e.was[id], r.users[id]
		changed = changed || was != now.sessions()
		switch {
		case !r.policy.PresenceEvents:
		case was == 0 && now != nil && len(u.Joined) < MaxPresenceEvents:
			u.Joined = append(u.Joined, now.presence(id))
		case was > 0 && now == nil && len(u.Left) < MaxPresenceEvents:
			u.Left = append(u.Left, &rpc.UserPresence{User: id})
		}
	}
	if !changed {
		return
	}
	if e.policy {
		u.Policy = policyOf(r.policy.Policy, r.mod)
	}
	s.effects.Updates = append(s.effects.Updates, u)
}

// presence sums a user up; the name is the one on the lowest edge.
func (u *user) presence(id string) *rpc.UserPresence {
	sum := min(u.sessions(), 1<<32-1)
	return &rpc.UserPresence{User: id, Name: u.seats[0].name, Sessions: uint32(sum)}
}

// Members returns a page of a room's users, in their ids' order, behind cursor
// (empty: from the beginning). next is the cursor of the next page, empty at
// the end; total counts sessions. countsOnly says that the room does not know
// all names. At most protocol.MaxMembers are returned; ok is false when there
// is no such room.
func (s *Shard) Members(room, cursor string, limit int) (users []*rpc.UserPresence, next string, total uint64, countsOnly, ok bool) {
	r := s.rooms[room]
	if r == nil {
		return nil, "", 0, false, false
	}
	if limit <= 0 || limit > protocol.MaxMembers {
		limit = protocol.MaxMembers
	}
	var ids []string
	for id := range r.users {
		if id > cursor {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(ids) > limit {
		ids = ids[:limit]
		next = ids[limit-1]
	}
	for _, id := range ids {
		users = append(users, r.users[id].presence(id))
	}
	return users, next, r.members, r.countsOnly || r.named != r.members, true
}

func (r *room) edgeKey(edge uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{keyEdge}, r.path...), edge)
}

func (r *room) userKey(edge uint64, id string) []byte {
	k := binary.BigEndian.AppendUint64(append([]byte{keyUser}, r.path...), edge)
	return append(k, id...)
}
