package session

import (
	"time"

	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// An order is how far a client has counted its publishes to a room. next is
// the number expected; after a refusal for good the client may use the refused
// number again or go on with the one behind it, so next+skip is taken too.
type order struct {
	room string
	next uint64
	skip uint64 // 0 or 1
}

// publish sends a message to core. The reply comes with its outcome.
func (s *Session) publish(id uint64, p *wire.Publish) {
	err := s.expected(p.GetRoom(), p.GetOrder())
	if err == nil {
		err = s.submit(id, p)
	}
	if err != nil {
		s.refuse(id, err)
	}
}

func (s *Session) submit(id uint64, p *wire.Publish) *protocol.Error {
	room, claims, now := p.GetRoom(), s.who(), time.Now()
	policy, err := s.may(verbPublish, room)
	if err == nil {
		err = check(p, policy)
	}
	if err == nil {
		err = s.srv.rates.allow(claims.User, room, policy, now)
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.passOver(room, p.GetOrder(), err.Code)
		return err
	}
	timeout := s.srv.cfg.PublishTimeout
	if ms := p.GetTimeoutMs(); ms > 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	size := len(claims.User) + len(claims.Name) + len(p.GetKind()) + len(p.GetText()) + len(p.GetData()) + 32
	out := &upstream.Publish{
		Room: room, User: claims.User, Key: p.GetKey(),
		Body:       protocol.AppendBody(make([]byte, 0, size), claims.User, claims.Name, p.GetKind(), p.GetText(), p.GetData()),
		DeadlineMS: now.Add(timeout).UnixMilli(),
		Owner:      s, ID: id, Order: p.GetOrder(),
	}
	// mu is held from looking at the order until the lane has the publish:
	// upstream lets a room go on only after the refusal of an earlier one has
	// been Answered, so nothing can slip in between.
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.orderIs(room, p.GetOrder()); err != nil {
		return err
	}
	if s.open >= int32(s.srv.cfg.Outstanding) {
		return &protocol.Error{Code: protocol.Overloaded, Message: "too many publishes are not answered yet; wait for their answers", RetryAfter: 100}
	}
	if err := s.srv.core.Publish(out); err != nil {
		return err
	}
	s.open++
	if o := s.order(room); o != nil && p.GetOrder() != 0 {
		o.next, o.skip = p.GetOrder()+1, 0
	}
	return nil
}

// check looks at what does not depend on anybody else.
func check(p *wire.Publish, policy *rpc.Policy) *protocol.Error {
	if err := protocol.CheckKey(p.GetKey()); err != nil {
		return asError(err)
	}
	if err := protocol.CheckKind(p.GetKind()); err != nil {
		return asError(err)
	}
	limit := int(policy.GetMessageBytes())
	if limit == 0 {
		limit = defaultSize
	}
	limit = min(limit, protocol.MaxMessage)
	switch size := len(p.GetText()) + len(p.GetData()); {
	case size > limit:
		return protocol.Errorf(protocol.TooLarge, "a message of %d bytes; this room takes %d", size, limit)
	case size == 0 && p.GetKind() == "":
		return protocol.Errorf(protocol.BadArgument, "a message must have a text, data or a kind")
	case p.GetTimeoutMs() > uint32(protocol.MaxPublishTimeout.Milliseconds()):
		return protocol.Errorf(protocol.BadArgument, "timeout_ms must be at most %d", protocol.MaxPublishTimeout.Milliseconds())
	}
	return nil
}

// expected refuses a publish that is not the next one of its room.
func (s *Session) expected(room string, n uint64) *protocol.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orderIs(room, n)
}

// orderIs is expected. Caller holds mu.
func (s *Session) orderIs(room string, n uint64) *protocol.Error {
	if n == 0 {
		return nil
	}
	o := s.order(room)
	if o == nil {
		if len(s.orders) >= s.srv.cfg.Rooms {
			return protocol.Errorf(protocol.TooManyRooms, "a connection may publish with order to %d rooms", s.srv.cfg.Rooms)
		}
		s.orders = append(s.orders, order{room: room, next: 1})
		o = &s.orders[len(s.orders)-1]
	}
	if n < o.next || n > o.next+o.skip {
		return protocol.Errorf(protocol.OutOfOrder, "order %d was expected, not %d", o.next, n)
	}
	return nil
}

// passOver: publish n, which was the next one, was refused here. Caller holds
// mu.
func (s *Session) passOver(room string, n uint64, code protocol.Code) {
	if o := s.order(room); o != nil && n != 0 {
		o.next, o.skip = n, 0
		if !code.Temporary() {
			o.skip = 1
		}
	}
}

// order finds a room's. Caller holds mu.
func (s *Session) order(room string) *order {
	for i := range s.orders {
		if s.orders[i].room == room {
			return &s.orders[i]
		}
	}
	return nil
}

// Answered implements upstream.Owner: core has decided. The reply leaves with
// Flush, together with others.
func (s *Session) Answered(p *upstream.Publish, r *rpc.Result) {
	defer s.guard()
	code := protocol.Code(r.GetCode())
	frame := &wire.ServerFrame{Id: p.ID}
	if code == protocol.OK {
		survive := s.srv.survive(p.Room)
		frame.Body = &wire.ServerFrame_Published{Published: &wire.Published{
			Room: p.Room, Seq: r.GetSeq(), TimeMs: r.GetTimeMs(), Survive: survive,
			Epoch: protocol.FormatEpoch(r.GetEpoch()), Duplicate: r.GetDuplicate(),
		}}
		s.srv.met.published.Inc()
	} else {
		err := outcome(code, r)
		s.srv.met.refused.WithLabelValues(err.Code.Name()).Inc()
		frame.Body = &wire.ServerFrame_Error{Error: protocol.WireError(err)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	// A publish refused for now is expected again; one refused for good has
	// used its number up.
	if o := s.order(p.Room); o != nil && p.Order != 0 && p.Order < o.next && protocol.Code(frame.GetError().GetCode()).Temporary() {
		o.next, o.skip = p.Order, 0
	}
	if s.phase == connected {
		s.out = protocol.AppendServer(s.out, s.format.Encoding(), frame)
	}
}

// Flush implements upstream.Owner.
func (s *Session) Flush() {
	defer s.guard()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == connected {
		s.flush()
	}
}

// outcome is what a client is told of a publish that core refused.
func outcome(code protocol.Code, r *rpc.Result) *protocol.Error {
	e := &protocol.Error{Code: code, RetryAfter: int64(r.GetRetryAfterMs())}
	switch code {
	case protocol.KeyConflict:
		e.Seq = r.GetSeq()
		e.Message = "this key was used for another message; make a new one for each"
	case protocol.Expired:
		e.Message = "not appended: its time was over"
	case protocol.RateLimited:
		e.Message = "the room takes no more messages for the moment"
	case protocol.OutOfOrder:
		e.Message = "an earlier publish was refused for now; send that one first"
	case protocol.KeysFull:
		e.Message = "the room remembers too many keys at the moment"
	case protocol.TooLarge:
		e.Message = "the message is larger than this room takes"
	case protocol.Unavailable:
		e.Message = "core cannot be reached at the moment; send it again"
	default:
		if code >= 300 {
			e.Code = protocol.Unavailable
		}
		e.Message = "core refused the message"
	}
	return e
}

func (s *Server) survive(room string) string {
	if r := s.hub.Room(room); r != nil {
		if survive := r.Survive(); survive != "" {
			return survive
		}
	}
	return s.core.Survive()
}
