package session

import (
	"errors"

	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// join enters a room; the hub answers.
func (s *Session) join(id uint64, j *wire.Join) {
	room := j.GetRoom()
	may, err := s.may(verbJoin, room)
	if err != nil {
		s.refuse(id, err)
		return
	}
	if !s.afford(joinCost) {
		s.refuse(id, &protocol.Error{Code: protocol.RateLimited, Message: "you join too fast", RetryAfter: 200})
		return
	}
	req := hub.JoinRequest{ID: id, Since: j.GetSince(), Resume: j.Since != nil, Recent: j.GetRecent(), Rank: may.rank, Role: may.role}
	if req.Recent > protocol.MaxRecent {
		s.refuse(id, protocol.Errorf(protocol.BadArgument, "recent must be at most %d; read more with history", protocol.MaxRecent))
		return
	}
	if j.GetEpoch() != "" {
		epoch, err := protocol.ParseEpoch(j.GetEpoch())
		if err != nil {
			s.refuse(id, asError(err))
			return
		}
		req.Epoch = epoch
	}
	m := hub.NewMember(s, s.conn, &s.sent, req)
	s.mu.Lock()
	if s.phase != connected {
		s.mu.Unlock()
		return
	}
	if s.seat(room) >= 0 {
		err = protocol.Errorf(protocol.AlreadyJoined, "this connection is in the room already")
	} else if len(s.seats) >= s.srv.cfg.Rooms {
		err = protocol.Errorf(protocol.TooManyRooms, "a connection may be in %d rooms; leave one first", s.srv.cfg.Rooms)
	} else {
		s.seats = append(s.seats, seat{room: room, member: m})
	}
	s.mu.Unlock()
	if err != nil {
		s.refuse(id, err)
		return
	}
	s.srv.hub.Join(m, room)
}

// seat finds a room; -1 if the session is not there. Caller holds mu.
func (s *Session) seat(room string) int {
	for i := range s.seats {
		if s.seats[i].room == room {
			return i
		}
	}
	return -1
}

func (s *Session) unseat(i int) {
	end := len(s.seats) - 1
	s.seats[i] = s.seats[end]
	s.seats[end] = seat{}
	s.seats = s.seats[:end]
}

// Identity implements hub.Owner.
func (s *Session) Identity() (user, name string) {
	c := s.who()
	return c.User, c.Name
}

// Joined implements hub.Owner.
func (s *Session) Joined(m *hub.Member, reply *wire.Joined, records []byte) {
	defer s.guard()
	if !s.admitted(m, reply, records) {
		s.srv.hub.Leave(m) // gone meanwhile
	}
}

// admitted sends the reply and says whether the session is still there.
func (s *Session) admitted(m *hub.Member, reply *wire.Joined, records []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.seat(reply.GetRoom())
	if s.phase != connected || i < 0 || s.seats[i].member != m {
		return false
	}
	out, err := protocol.AppendJoined(s.out, s.format.Encoding(), m.Join.ID, reply, records)
	if err != nil {
		// The tail's records were checked when they came: our memory is wrong.
		s.endLocked(protocol.Errorf(protocol.CloseInternal, "the room's messages cannot be encoded; connect again"))
		return false
	}
	s.out = out
	seat := &s.seats[i]
	seat.joined = true
	s.admit = append(s.admit, m)
	banned := false
	for _, told := range seat.told { // meanwhile
		s.pushLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Sanction{Sanction: told}})
		banned = banned || told.GetAction() == protocol.Ban
	}
	seat.told = nil
	if banned {
		s.admit = s.admit[:len(s.admit)-1]
		s.unseat(i)
	}
	s.flush()
	return !banned
}

// JoinFailed implements hub.Owner.
func (s *Session) JoinFailed(m *hub.Member, err *protocol.Error) {
	defer s.guard()
	s.mu.Lock()
	for i := range s.seats {
		if s.seats[i].member == m {
			s.unseat(i)
			break
		}
	}
	s.mu.Unlock()
	s.refuse(m.Join.ID, err)
}

// leave leaves a room. One that is still being joined cannot be left yet.
func (s *Session) leave(id uint64, l *wire.Leave) {
	s.mu.Lock()
	i := s.seat(l.GetRoom())
	if i < 0 || !s.seats[i].joined {
		s.mu.Unlock()
		s.refuse(id, protocol.Errorf(protocol.NotJoined, "this connection is not in the room"))
		return
	}
	m := s.seats[i].member
	s.unseat(i)
	s.mu.Unlock()
	s.srv.hub.Leave(m)
	s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Left{Left: &wire.Left{Room: l.GetRoom()}}})
}

// asError is err as clients are told of it.
func asError(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) && e.Code < 300 {
		return e
	}
	return &protocol.Error{Code: protocol.Unavailable, Message: "core cannot be reached at the moment; try again", RetryAfter: 1000}
}
