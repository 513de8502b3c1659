package session

import (
	"time"

	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// silenced refuses what core would refuse, as far as this edge has heard of it:
// nothing is filtered or sent for somebody who may not publish.
func (s *Session) silenced(room string, rank rpc.Rank, now time.Time) *protocol.Error {
	r := s.srv.hub.Room(room)
	if r == nil {
		return nil
	}
	moderation, user := r.Moderation(), s.who().User
	for _, action := range []string{protocol.Ban, protocol.Mute} {
		if sanction := hub.Sanction(moderation, action, user, rank, now); sanction != nil {
			return hub.Refusal(sanction)
		}
	}
	return nil
}

// Sanctioned implements hub.Owner. A banned session is taken out of the room
// before it is told, so that nothing of the room comes behind that.
func (s *Session) Sanctioned(m *hub.Member, told *wire.Sanction) {
	defer s.guard()
	s.mu.Lock()
	at := -1
	for i := range s.seats {
		if s.seats[i].member == m {
			at = i
		}
	}
	switch {
	case at < 0: // it has left
		s.mu.Unlock()
		return
	case !s.seats[at].joined:
		s.seats[at].told = append(s.seats[at].told, told)
		s.mu.Unlock()
		return
	}
	banned := told.GetAction() == protocol.Ban
	if banned {
		s.unseat(at)
	}
	s.mu.Unlock()
	if banned {
		s.srv.hub.Leave(m)
	}
	s.reply(&wire.ServerFrame{Body: &wire.ServerFrame_Sanction{Sanction: told}})
}

// Restand implements hub.Owner.
func (s *Session) Restand(*hub.Member) {
	defer s.guard()
	s.restand()
}

// restand looks again at what the client is in its rooms, after its token or a
// policy has changed. Who is in a moderation feed and moderates no more is sent
// away: it comes back with what it may have.
func (s *Session) restand() {
	s.mu.Lock()
	seats := append([]seat(nil), s.seats...)
	s.mu.Unlock()
	for i := range seats {
		may, err := s.allowed(verbJoin, seats[i].room)
		seats[i].member.SetRank(may.rank)
		if err != nil && protocol.IsFeed(seats[i].room) {
			s.end(protocol.Errorf(protocol.CloseTokenExpired, "you moderate no more; connect again"))
			return
		}
	}
}
