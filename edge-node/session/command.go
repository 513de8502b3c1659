package session

import (
	"time"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// command answers one command of the client.
func (s *Session) command(f *wire.ClientFrame) {
	id := f.GetId()
	if c, ok := f.GetCommand().(*wire.ClientFrame_Connect); ok {
		s.connect(id, c.Connect)
		return
	}
	_, ack := f.GetCommand().(*wire.ClientFrame_HeartbeatAck) // that it came is all it says
	if !s.listens() || ack || !s.reads(id) {
		return
	}
	switch c := f.GetCommand().(type) {
	case *wire.ClientFrame_Refresh:
		s.refresh(id, c.Refresh)
	case *wire.ClientFrame_Join:
		s.join(id, c.Join)
	case *wire.ClientFrame_Leave:
		s.leave(id, c.Leave)
	case *wire.ClientFrame_Publish:
		p := c.Publish
		s.publish(&protocol.Publish{
			ID: id, Room: []byte(p.GetRoom()), Key: []byte(p.GetKey()), Kind: []byte(p.GetKind()), Text: []byte(p.GetText()), Data: p.GetData(),
			Order: p.GetOrder(), TimeoutMS: p.GetTimeoutMs(),
		})
	case *wire.ClientFrame_History:
		s.history(id, c.History)
	case *wire.ClientFrame_Members:
		s.members(id, c.Members)
	case *wire.ClientFrame_Moderate:
		s.moderate(id, c.Moderate)
	case *wire.ClientFrame_Ping:
		s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{TimeMs: time.Now().UnixMilli()}}})
	default:
		s.refuse(id, protocol.Errorf(protocol.Unsupported, "this version knows no such command"))
	}
}

// listens says whether commands are taken; a client that has not connected
// is sent away.
func (s *Session) listens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == arrived {
		s.endLocked(protocol.Errorf(protocol.CloseNotConnected, "the first frame of a connection must be connect"))
	}
	return s.phase == connected
}

// reads refuses a command of a client that does not read its replies.
func (s *Session) reads(id uint64) bool {
	if s.full() {
		s.refuse(id, &protocol.Error{Code: protocol.Overloaded, Message: "replies are not being read; read them first", RetryAfter: 200})
		return false
	}
	return true
}

// who is the client, once it has connected.
func (s *Session) who() *auth.Claims {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

// policy is the room's: as its feed says or, for a room without members here,
// as the table says, where a zero means the default.
func (s *Server) policy(room string) *rpc.Policy {
	if r := s.hub.Room(room); r != nil {
		if p := r.Policy(); p != nil {
			return p
		}
	}
	return rpc.MatchPolicy(s.core.State().GetPolicies().GetPolicies(), room)
}
