package session

import (
	"time"

	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// An order is how far a client has counted its publishes to a room. next is
// the number expected; after a refusal for good the client may use the refused
// number again or go on with the one behind it, so next+skip is taken too.
type order struct {
	room string
	next uint64
	skip uint64 // 0 or 1
}

// A recipient is the room published to last: clients rarely change it. Its name
// was checked.
type recipient struct {
	room string
	rate string // what the user's rate there is counted by
}

// publish sends a message to core. The reply comes with its outcome.
func (s *Session) publish(p *protocol.Publish) {
	if err := s.submit(p); err != nil {
		s.refuse(p.ID, err)
	}
}

func (s *Session) submit(p *protocol.Publish) *protocol.Error {
	claims, now := s.who(), time.Now()
	if string(p.Room) != s.to.room || len(p.Room) == 0 {
		room := string(p.Room)
		if _, err := protocol.CanonicalRoom(room); err != nil {
			return asError(err)
		}
		s.to = recipient{room: room, rate: rateKey(claims.User, room)}
	}
	room := s.to.room
	err := s.expected(room, p.Order)
	if err != nil {
		return err
	}
	may, err := s.permit(p, now)
	if err != nil {
		return s.skip(room, p.Order, err)
	}
	v := verdict{Outcome: s.srv.cfg.Screen.Judge(room, may.policy, p.Text)}
	message := upstream.Message{User: claims.User, Name: claims.Name, Key: p.Key, Kind: p.Kind, Text: p.Text, Data: p.Data, Rank: uint32(may.rank)}
	if v.Action == filter.Block {
		s.srv.feed.tell(room, s.srv.feed.item(room, &message, &v))
		return s.skip(room, p.Order, blocked())
	}
	timeout := s.srv.cfg.PublishTimeout
	if p.TimeoutMS > 0 {
		timeout = time.Duration(p.TimeoutMS) * time.Millisecond
	}
	// mu is held from looking at the order until the lane, or the line of the
	// room, has the publish: upstream lets a room go on only after the refusal of
	// an earlier one has been Answered, so nothing can slip in between.
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.orderIs(room, p.Order); err != nil {
		return err
	}
	if s.open >= int32(s.srv.cfg.Outstanding) {
		return &protocol.Error{Code: protocol.Overloaded, Message: "too many publishes are not answered yet; wait for their answers", RetryAfter: 100}
	}
	out := upstream.Publish{Room: room, DeadlineMS: now.Add(timeout).UnixMilli(), Owner: s, ID: p.ID, Order: p.Order, Taken: now}
	if err := s.forward(&out, &message, may.policy, &v); err != nil {
		return err
	}
	s.open++
	if o := s.order(room); o != nil && p.Order != 0 {
		o.next, o.skip = p.Order+1, 0
	}
	return nil
}

// permit looks at everything but the order and the rules.
func (s *Session) permit(p *protocol.Publish, now time.Time) (permission, *protocol.Error) {
	may, err := s.allowed(verbPublish, s.to.room)
	if err == nil {
		err = check(p, may.policy)
	}
	if err == nil {
		err = s.silenced(s.to.room, may.rank, now)
	}
	if err == nil {
		slow := uint32(0) // those who moderate are not slowed down
		if !may.moderates() {
			slow = s.srv.slow.of(s.to.room, may.policy)
		}
		err = s.srv.rates.allow(s.to.rate, may.policy, slow, now)
	}
	return may, err
}

// skip goes over a publish that is refused here.
func (s *Session) skip(room string, order uint64, err *protocol.Error) *protocol.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passOver(room, order, err.Code)
	return err
}

// check looks at what does not depend on anybody else.
func check(p *protocol.Publish, policy *rpc.Policy) *protocol.Error {
	if err := protocol.CheckKey(p.Key); err != nil {
		return asError(err)
	}
	if err := protocol.CheckKind(p.Kind); err != nil {
		return asError(err)
	}
	limit := messageSize(policy)
	switch size := len(p.Text) + len(p.Data); {
	case size > limit:
		return protocol.Errorf(protocol.TooLarge, "a message of %d bytes; this room takes %d", size, limit)
	case size == 0 && len(p.Kind) == 0:
		return protocol.Errorf(protocol.BadArgument, "a message must have a text, data or a kind")
	case p.TimeoutMS > uint32(protocol.MaxPublishTimeout.Milliseconds()):
		return protocol.Errorf(protocol.BadArgument, "timeout_ms must be at most %d", protocol.MaxPublishTimeout.Milliseconds())
	}
	return nil
}

// messageSize is the largest message of a room.
func messageSize(policy *rpc.Policy) int {
	limit := int(policy.GetMessageBytes())
	if limit == 0 {
		limit = defaultSize
	}
	return min(limit, protocol.MaxMessage)
}

// expected refuses a publish that is not the next one of its room.
func (s *Session) expected(room string, n uint64) *protocol.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orderIs(room, n)
}

// orderIs refuses a publish that is not the next one of its room. Caller holds
// mu.
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
	s.srv.slowed(p.Room, r.GetSlowModeMs())
	if code != protocol.OK {
		s.answeredNot(p, outcome(code, r))
		return
	}
	s.srv.met.published.Inc()
	s.srv.met.publishing.Observe(time.Since(p.Taken).Seconds())
	survive := s.srv.survive(p.Room)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.phase == connected {
		s.out = protocol.AppendPublished(s.out, s.format.Encoding(), p.ID, p.Room, r.GetSeq(), r.GetTimeMs(), survive, r.GetEpoch(), r.GetDuplicate(), masked(p), p.Masked)
	}
}

// masked is the verdict that a client is told of.
func masked(p *upstream.Publish) string {
	if p.Masked == "" {
		return ""
	}
	return protocol.VerdictMask
}

func (s *Session) answeredNot(p *upstream.Publish, err *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerNot(p, err)
}

// answerNot refuses a publish whose order was taken already. Caller holds mu.
func (s *Session) answerNot(p *upstream.Publish, err *protocol.Error) {
	s.srv.met.refused.WithLabelValues(err.Code.Name()).Inc()
	s.open--
	// A publish refused for now is expected again; one refused for good has
	// used its number up.
	if o := s.order(p.Room); o != nil && p.Order != 0 && p.Order < o.next && err.Code.Temporary() {
		o.next, o.skip = p.Order, 0
	}
	if s.phase == connected {
		s.out = protocol.AppendError(s.out, s.format.Encoding(), p.ID, err)
	}
	if err.Code.Temporary() {
		s.refuseLine(p.Room)
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
	case protocol.Muted:
		e.Message = "you are muted in this room"
	case protocol.Banned:
		e.Message = "you are banned from this room"
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
