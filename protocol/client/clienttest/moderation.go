package clienttest

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func (e *session) roleLocked(room string) string {
	if e.s.Role != nil {
		return e.s.Role(e.user, room)
	}
	return protocol.RoleMember
}

func moderates(role string) bool {
	return role == protocol.RoleModerator || role == protocol.RoleOwner
}

// sanctionedLocked refuses what a sanction forbids.
func (e *session) sanctionedLocked(name string, actions ...string) *wire.ServerFrame {
	for _, action := range actions {
		s := e.s.roomLocked(name).sanctions[action+"\x00"+e.user]
		if s == nil || s.GetUntilMs() != 0 && s.GetUntilMs() <= time.Now().UnixMilli() {
			continue
		}
		code := protocol.Muted
		if action == protocol.Ban {
			code = protocol.Banned
		}
		return Refusal(&protocol.Error{Code: code, Message: "you are under a sanction: " + s.GetReason()})
	}
	return nil
}

func (s *Server) stateLocked(name string) *wire.RoomState {
	return &wire.RoomState{
		Room: name, Survive: "zone", MessageBytes: s.Limits.GetMessageBytes(), SlowModeMs: uint32(s.roomLocked(name).slowMS),
	}
}

func (e *session) moderateLocked(m *wire.Moderate) *wire.ServerFrame {
	if !moderates(e.roleLocked(m.GetRoom())) {
		return Refusal(&protocol.Error{Code: protocol.Forbidden, Message: "you do not moderate this room"})
	}
	if err := protocol.CheckModerate(m.GetAction(), m.GetUser(), m.GetSeq(), m.GetDurationMs(), m.GetReason()); err != nil {
		return Refusal(&protocol.Error{Code: protocol.BadArgument, Message: err.Error()})
	}
	r := e.s.roomLocked(m.GetRoom())
	reply := &wire.Moderated{Room: m.GetRoom(), Action: m.GetAction()}
	switch m.GetAction() {
	case protocol.Retract:
		if m.GetSeq() < r.first || m.GetSeq() > r.head() {
			return Refusal(&protocol.Error{Code: protocol.Trimmed, Message: "history holds no such message"})
		}
		at := m.GetSeq() - r.first
		was := r.log[at]
		r.log[at] = &wire.Message{Seq: was.GetSeq(), TimeMs: was.GetTimeMs(), Sender: was.GetSender(), Name: was.GetName(), Gone: protocol.GoneRetracted}
		reply.Seq = e.s.appendLocked(m.GetRoom(), &wire.Message{Sender: e.user, Name: e.name, Text: m.GetReason(), Retracts: m.GetSeq()})
	case protocol.Slow:
		r.slowMS = m.GetDurationMs()
		e.s.tellLocked(m.GetRoom(), "", &wire.ServerFrame{Body: &wire.ServerFrame_Room{Room: e.s.stateLocked(m.GetRoom())}})
	case protocol.Approve:
		return e.approveLocked(m, reply)
	default:
		if m.GetDurationMs() > 0 {
			reply.UntilMs = time.Now().UnixMilli() + int64(m.GetDurationMs())
		}
		e.s.sanctionLocked(m, reply.GetUntilMs())
	}
	return &wire.ServerFrame{Body: &wire.ServerFrame_Moderated{Moderated: reply}}
}

// approveLocked publishes a held message of the room's feed.
func (e *session) approveLocked(m *wire.Moderate, reply *wire.Moderated) *wire.ServerFrame {
	feed := e.s.roomLocked(protocol.FeedRoom(m.GetRoom()))
	if m.GetSeq() < feed.first || m.GetSeq() > feed.head() || feed.log[m.GetSeq()-feed.first].GetKind() != protocol.KindHeld {
		return Refusal(&protocol.Error{Code: protocol.BadArgument, Message: "no such message was held"})
	}
	held := proto.CloneOf(feed.log[m.GetSeq()-feed.first])
	reply.Seq = e.s.appendLocked(m.GetRoom(), &wire.Message{Sender: held.GetSender(), Name: held.GetName(), Text: held.GetText()})
	return &wire.ServerFrame{Body: &wire.ServerFrame_Moderated{Moderated: reply}}
}

// sanctionLocked gives or lifts a sanction and tells whom it is about.
func (s *Server) sanctionLocked(m *wire.Moderate, untilMS int64) {
	r := s.roomLocked(m.GetRoom())
	if r.sanctions == nil {
		r.sanctions = map[string]*wire.Sanction{}
	}
	told := &wire.Sanction{Room: m.GetRoom(), Action: m.GetAction(), UntilMs: untilMS, Reason: m.GetReason()}
	if lifted, ok := strings.CutPrefix(m.GetAction(), "un"); ok {
		delete(r.sanctions, lifted+"\x00"+m.GetUser())
	} else {
		r.sanctions[m.GetAction()+"\x00"+m.GetUser()] = told
	}
	s.tellLocked(m.GetRoom(), m.GetUser(), &wire.ServerFrame{Body: &wire.ServerFrame_Sanction{Sanction: told}})
}

// tellLocked sends a push to the members of a room, or to those of one user. The
// banned are taken out first.
func (s *Server) tellLocked(room, user string, f *wire.ServerFrame) {
	for e := range s.sessions {
		if !e.joined[room] || user != "" && e.user != user {
			continue
		}
		if f.GetSanction().GetAction() == protocol.Ban {
			delete(e.joined, room)
		}
		e.sendLocked(f)
	}
}
