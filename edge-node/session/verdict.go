package session

import (
	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A verdict is what is to become of a message: the rules' outcome, and what the
// hook made of it.
type verdict struct {
	screen.Outcome
	text   []byte // of the hook, to be relayed instead of the message's
	reason string // of the hook
}

// What rpc.Publish says of verdicts.
const (
	relayedFlag   = 1
	relayedMask   = 2
	relayedShadow = 3
)

// relay sends a message to core as its verdict has it. Caller holds mu.
func (s *Session) relay(out *upstream.Publish, m *upstream.Message, v *verdict) *protocol.Error {
	if v.Action == filter.Pass && v.Reported.Action == filter.Pass {
		m.Rules = v.Rules
		return s.srv.core.Publish(*out, m)
	}
	item := s.srv.feed.item(out.Room, m, v) // of the text as it was sent
	m.Rules = v.Rules
	switch v.Action {
	case filter.Flag:
		m.Verdict = relayedFlag
	case filter.Mask:
		m.Verdict = relayedMask
		m.Origin = protocol.BodyHash(protocol.AppendBody(nil, m.User, m.Name, m.Kind, m.Text, m.Data))
		m.Text = v.masked(m.Text)
		out.Masked = string(m.Text)
	case filter.Shadow:
		m.Verdict = relayedShadow // its sender gets no other answer than usual
	case filter.Pass, filter.Hold, filter.Block: // as it is; the others are not relayed
	}
	if item != nil {
		out.Owner = &witness{Session: s, room: out.Room, item: item}
	}
	return s.srv.core.Publish(*out, m)
}

// masked is the text to relay. What the hook puts in place of a text is masked
// by our own rules like the text.
func (v *verdict) masked(text []byte) []byte {
	if len(v.text) > 0 {
		text = v.text
	}
	return v.AppendMasked(nil, text)
}

// take lets the hook's answer count if it is the stronger one. It is false for
// an answer that cannot be followed: to mask, without saying what.
func (v *verdict) take(a screen.Answer, room int) bool {
	own := &v.Finding
	if v.Report {
		own = &v.Reported
	}
	if a.Action == filter.Mask && (len(a.Text) > room || len(a.Text) == 0 && own.Action < filter.Mask) {
		return false
	}
	if a.Action == filter.Pass {
		return true
	}
	if a.Action == filter.Mask && own.Action <= filter.Mask {
		v.text = a.Text
	}
	if a.Action > own.Action {
		*own = screen.Finding{Action: a.Action, Set: screen.HookSet, Categories: a.Categories}
	}
	v.reason = a.Reason
	return true
}

// A witness is the session as the owner of a publish that moderators are told
// of, once it is committed.
type witness struct {
	*Session
	room string
	item *upstream.Message
}

// Answered implements upstream.Owner.
func (w *witness) Answered(p *upstream.Publish, r *rpc.Result) {
	w.Session.Answered(p, r)
	if protocol.Code(r.GetCode()) == protocol.OK {
		defer w.guard()
		w.srv.feed.tell(w.room, w.item)
	}
}

func blocked() *protocol.Error {
	return protocol.Errorf(protocol.Blocked, "it goes against the rules of this room")
}

func held() *protocol.Error {
	return protocol.Errorf(protocol.Held, "kept for the moderators of this room, who decide whether it is sent")
}

func (s *Server) unchecked() *protocol.Error {
	e := &protocol.Error{Code: protocol.Unchecked, Message: "messages of this room are checked, and the check does not answer; send it again", RetryAfter: uncheckedWait}
	if s.cfg.Hook != nil {
		e.RetryAfter = ceilMS(s.cfg.Hook.Wait())
	}
	return e
}
