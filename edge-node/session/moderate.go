package session

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// moderate carries out what a moderator asks for. The reply comes with core's
// answer.
func (s *Session) moderate(id uint64, m *wire.Moderate) {
	may, err := s.may(verbModerate, m.GetRoom())
	if err == nil {
		if wrong := protocol.CheckModerate(m.GetAction(), m.GetUser(), m.GetSeq(), m.GetDurationMs(), m.GetReason()); wrong != nil {
			err = asError(wrong)
		}
	}
	if err == nil && !s.afford(moderateCost) {
		err = &protocol.Error{Code: protocol.RateLimited, Message: "you moderate too fast", RetryAfter: 200}
	}
	if err != nil {
		s.refuse(id, err)
		return
	}
	if m.GetAction() == protocol.Approve {
		s.approve(id, m)
		return
	}
	claims := s.who()
	command := &rpc.Moderate{
		Room: m.GetRoom(), Actor: claims.User, Name: claims.Name, Rank: uint32(may.rank), Action: m.GetAction(), User: m.GetUser(),
		Seq: m.GetSeq(), DurationMs: m.GetDurationMs(), Reason: m.GetReason(), DeadlineMs: time.Now().Add(s.srv.cfg.PublishTimeout).UnixMilli(),
	}
	if err := s.take(); err != nil {
		s.refuse(id, err)
		return
	}
	if err := s.srv.core.Moderate(command, func(r *rpc.Result) { s.moderated(id, command, r) }); err != nil {
		s.settle()
		s.refuse(id, err)
	}
}

// take counts a command that core is to answer; settle counts its answer.
func (s *Session) take() *protocol.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= int32(s.srv.cfg.Outstanding) {
		return &protocol.Error{Code: protocol.Overloaded, Message: "too many commands are not answered yet; wait for their answers", RetryAfter: 100}
	}
	s.open++
	return nil
}

func (s *Session) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// moderated answers with what core made of a command.
func (s *Session) moderated(id uint64, m *rpc.Moderate, r *rpc.Result) {
	defer s.guard()
	s.settle()
	if code := protocol.Code(r.GetCode()); code != protocol.OK {
		s.refuse(id, undone(code, r))
		return
	}
	reply := &wire.Moderated{Room: m.GetRoom(), Action: m.GetAction(), Seq: r.GetSeq()}
	if m.GetDurationMs() != 0 && m.GetAction() != protocol.Slow {
		reply.UntilMs = r.GetTimeMs() + int64(m.GetDurationMs())
	}
	s.srv.met.moderated.WithLabelValues(m.GetAction()).Inc()
	s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Moderated{Moderated: reply}})
}

// undone is what a moderator is told when core did not do it.
func undone(code protocol.Code, r *rpc.Result) *protocol.Error {
	e := &protocol.Error{Code: code, RetryAfter: int64(r.GetRetryAfterMs())}
	switch code {
	case protocol.Forbidden:
		e.Message = "somebody of a higher role has decided that; ask an owner or the operator"
	case protocol.NotFound:
		e.Message = "there is no such room at the moment"
	case protocol.Trimmed, protocol.Future:
		e.Message = "history holds no such message"
	case protocol.BadArgument:
		e.Message = "that cannot be done; a retraction is not taken back, for one"
	case protocol.Expired:
		e.Message = "not done: its time was over"
	case protocol.Overloaded:
		e.Message = "the room has as many sanctions as it may; lift some first"
	case protocol.Unavailable:
		e.Message = "core cannot be reached at the moment; try again"
	default:
		if code >= 300 {
			e.Code = protocol.Unavailable
		}
		e.Message = "core refused this"
	}
	return e
}

// approve publishes a held message under its author's name. Its key is the one
// it was sent with: while core remembers that, a second approval finds it done.
func (s *Session) approve(id uint64, m *wire.Moderate) {
	s.budgeted(id, func(ctx context.Context) {
		held, about, err := s.held(ctx, m.GetRoom(), m.GetSeq())
		if err == nil {
			err = s.take()
		}
		if err != nil {
			s.refuse(id, err)
			return
		}
		out := upstream.Publish{
			Room: m.GetRoom(), DeadlineMS: time.Now().Add(s.srv.cfg.PublishTimeout).UnixMilli(), Owner: &approval{s}, ID: id,
		}
		if err := s.srv.core.Publish(out, &upstream.Message{
			User: held.GetSender(), Name: held.GetName(), Key: []byte(about.Key), Kind: []byte(about.Kind), Text: []byte(held.GetText()), Data: about.Data,
		}); err != nil {
			s.settle()
			s.refuse(id, err)
		}
	})
}

// held reads a message of a room's moderation feed that waits for approval.
func (s *Session) held(ctx context.Context, room string, seq uint64) (*wire.Message, *note, *protocol.Error) {
	feed := protocol.FeedRoom(room)
	page, err := s.srv.core.ReadHistory(ctx, &rpc.HistoryRequest{Room: feed, From: seq, Limit: 1, MaxBytes: pageBytes})
	if err != nil {
		return nil, nil, asError(err)
	}
	if code := protocol.Code(page.GetCode()); code != protocol.OK {
		return nil, nil, pageError(code, page)
	}
	_, b, _, ok := protocol.NextRecord(page.GetRecords())
	held, about := &wire.Message{}, &note{}
	if !ok || proto.Unmarshal(b, held) != nil || held.GetSeq() != seq {
		return nil, nil, damagedPage()
	}
	if held.GetKind() != protocol.KindHeld {
		return nil, nil, protocol.Errorf(protocol.BadArgument, "message %d of %s was not held", seq, feed)
	}
	if err := json.Unmarshal(held.GetData(), about); err != nil || protocol.CheckKey(about.Key) != nil || protocol.CheckKind(about.Kind) != nil {
		return nil, nil, protocol.Errorf(protocol.BadArgument, "what %s says of message %d cannot be read", feed, seq)
	}
	switch {
	case about.Room != room:
		return nil, nil, protocol.Errorf(protocol.BadArgument, "message %d of %s was sent to another room", seq, feed)
	case about.Cut:
		return nil, nil, protocol.Errorf(protocol.BadArgument, "message %d of %s was too large to be kept whole; ask its sender to send it again", seq, feed)
	}
	return held, about, nil
}

// An approval is the owner of a publish in another's name.
type approval struct{ *Session }

// Answered implements upstream.Owner.
func (a *approval) Answered(p *upstream.Publish, r *rpc.Result) {
	s := a.Session
	defer s.guard()
	s.settle()
	if code := protocol.Code(r.GetCode()); code != protocol.OK {
		err := outcome(code, r)
		if code == protocol.Muted || code == protocol.Banned {
			err.Message = fmt.Sprintf("its author is %s in this room; lift that first", code)
		}
		s.refuse(p.ID, err)
		return
	}
	s.srv.met.moderated.WithLabelValues(protocol.Approve).Inc()
	s.reply(&wire.ServerFrame{Id: p.ID, Body: &wire.ServerFrame_Moderated{
		Moderated: &wire.Moderated{Room: p.Room, Action: protocol.Approve, Seq: r.GetSeq()},
	}})
}
