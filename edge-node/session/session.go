package session

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

type phase uint8

const (
	arrived   phase = iota // nothing but connect is taken
	connected              // by a token
	closing                // a close frame has been sent
	ended                  // the connection is gone
)

// A Session is one client connection. It implements transport.Handler,
// hub.Owner and upstream.Owner.
type Session struct {
	// Set by Accept, never changed.
	srv       *Server
	conn      transport.Conn
	format    transport.Format
	transport string
	address   string // what it is counted by

	seen atomic.Int64 // Unix nanoseconds, coarse: last frame from the client
	sent atomic.Int64 // last bytes to the client

	// Owned by OnFrame.
	budget   int32 // frames that may still come at once; below 0 a debt
	budgetAt int64 // when it was last filled up
	to       recipient

	due int64 // the wheel's: its slot

	mu      sync.Mutex // guards the fields below
	phase   phase
	claims  *auth.Claims
	id      string
	out     []byte        // frames that wait for the connection
	admit   []*hub.Member // members whose joined reply is in out
	seats   []seat        // rooms joined or being joined
	orders  []order       // rooms published to with order
	open    int32         // publishes not answered
	lines   []*line       // rooms whose publishes wait
	waiting int           // bytes in lines
	asked   int64         // when the heartbeat was sent that nothing has answered yet; 0 none
}

// A seat is a room that the session is in, or is about to be in.
type seat struct {
	room   string
	member *hub.Member
	joined bool
	told   []*wire.Sanction // given before it was joined
}

// OnFrame takes one frame of the client.
func (s *Session) OnFrame(frame []byte) {
	defer s.guard()
	now := s.srv.clock.Load()
	s.seen.Store(now)
	s.spend(now)
	var p protocol.Publish
	if s.format.Encoding() == protocol.Proto && p.Decode(frame) {
		if s.listens() && s.reads(p.ID) {
			s.publish(&p)
		}
		return
	}
	f, err := protocol.DecodeClient(s.format.Encoding(), frame)
	if err != nil {
		s.malformed(f, err)
		return
	}
	s.command(f)
}

// holdEvery is how much of a second a debt of frames is worth before the
// connection is held: shorter waits would cost more than the frames.
const holdEvery = 50

// spend takes one frame of the budget. A client that has used it up is not
// refused or sent away: its frames wait, in the end with itself, and are taken
// as fast as the budget grows.
func (s *Session) spend(now int64) {
	if gained := time.Duration(now-s.budgetAt).Seconds() * float64(s.srv.cfg.FrameRate); gained >= 1 {
		s.budget = int32(min(float64(s.budget)+gained, float64(s.srv.cfg.FrameBurst)))
		s.budgetAt = now
	}
	s.budget--
	if debt := -int(s.budget); debt > s.srv.cfg.FrameRate/holdEvery {
		s.srv.met.held.Inc()
		s.conn.Hold(time.Duration(debt) * time.Second / time.Duration(s.srv.cfg.FrameRate))
	}
}

// afford takes n more frames of the budget for a command that costs more than
// others, if they are there.
func (s *Session) afford(n int32) bool {
	if s.budget < n {
		return false
	}
	s.budget -= n
	return true
}

func (s *Session) malformed(f *wire.ClientFrame, err error) {
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = protocol.Errorf(protocol.Malformed, "the frame cannot be read")
	}
	if f != nil && f.GetId() != 0 && e.Code == protocol.Unsupported && s.is(connected) {
		s.refuse(f.GetId(), e)
		return
	}
	s.end(&protocol.Error{Code: protocol.CloseMalformed, Message: e.Message})
}

// OnWritable goes on with what the connection did not take before.
func (s *Session) OnWritable() {
	defer s.guard()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	if len(s.out) > 0 || s.phase != connected {
		return
	}
	for _, seat := range s.seats {
		if seat.joined {
			seat.member.Writable()
		}
	}
}

// OnClose ends the session.
func (s *Session) OnClose(err error) {
	defer s.guard()
	s.mu.Lock()
	s.phase = ended
	claims, seats := s.claims, s.seats
	s.out, s.admit, s.seats, s.orders = nil, nil, nil, nil
	s.dropLines()
	s.mu.Unlock()

	reason := "client"
	if e := (*protocol.Error)(nil); errors.As(err, &e) && e.Code >= 4000 {
		reason = e.Code.Name()
	}
	s.srv.met.closed.WithLabelValues(reason).Inc()
	s.srv.met.sessions.WithLabelValues(s.transport).Dec()
	for _, seat := range seats {
		if seat.joined {
			s.srv.hub.Leave(seat.member)
		} // one that is joining leaves when the hub answers
	}
	if claims != nil {
		s.srv.users.Release(claims.User)
	}
	if s.address != "" {
		s.srv.addresses.Release(s.address)
	}
	s.srv.count.Add(-1)
}

// guard keeps a panic inside the session that caused it.
func (s *Session) guard() {
	if p := recover(); p != nil {
		s.srv.met.panics.Inc()
		s.srv.log.Error("panic in a session", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		e := protocol.Errorf(protocol.CloseInternal, "an error of the server; connect again")
		s.conn.CloseWith(s.srv.CloseImage(s.format, e), e.Code)
	}
}

func (s *Session) is(p phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == p
}

// end closes the connection with a reason. OnClose follows.
func (s *Session) end(err *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *Session) endLocked(err *protocol.Error) {
	if s.phase >= closing {
		return
	}
	s.phase = closing
	image := s.srv.CloseImage(s.format, err)
	if len(s.out) > 0 { // replies that wait go before it
		image = append(s.format.AppendImage(nil, s.out), image...)
		s.out = nil
	}
	s.conn.CloseWith(image, err.Code)
}

// reply sends a frame, or keeps it until the connection takes it.
func (s *Session) reply(frame *wire.ServerFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase >= closing {
		return
	}
	s.pushLocked(frame)
	s.flush()
}

// pushLocked puts a frame behind those that wait. Caller holds mu.
func (s *Session) pushLocked(frame *wire.ServerFrame) {
	s.out = protocol.AppendServer(s.out, s.format.Encoding(), frame)
}

func (s *Session) refuse(id uint64, err *protocol.Error) {
	s.srv.met.refused.WithLabelValues(err.Code.Name()).Inc()
	s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Error{Error: protocol.WireError(err)}})
}

// flush sends what waits. Members whose joined reply has left begin to get
// messages. Caller holds mu.
func (s *Session) flush() {
	if len(s.out) == 0 {
		return
	}
	image := s.out
	if s.format != transport.Stream {
		image = s.format.AppendImage(make([]byte, 0, len(s.out)+transport.ImageOverhead), s.out)
	}
	switch err := s.conn.Send(image); {
	case err == nil:
		s.out = nil // the connection may still read it
		s.sent.Store(s.srv.clock.Load())
		admit := s.admit
		s.admit = nil
		for _, m := range admit {
			m.Activate()
		}
	case errors.Is(err, transport.ErrBusy):
		if len(s.out) > 2*s.srv.cfg.Outbox {
			s.srv.met.outbox.Inc()
			s.endLocked(protocol.Errorf(protocol.CloseSlow, "replies are not being read"))
		}
	}
}

// full says that the client does not read its replies.
func (s *Session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out) > s.srv.cfg.Outbox
}

// visit does what is due by now and says when to come again; zero when the
// session has ended.
func (s *Session) visit(now time.Time) (next time.Time) {
	defer s.guard()
	cfg := &s.srv.cfg
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return time.Time{}
	}
	if s.phase != connected { // the transport has a deadline for these
		return now.Add(cfg.Heartbeat)
	}
	seen, sent := s.seen.Load(), s.sent.Load()
	if s.asked != 0 && seen >= s.asked {
		s.asked = 0
	}
	quiet := now.Sub(time.Unix(0, max(seen, sent)))
	expires := s.claims.Expires
	switch {
	case !expires.IsZero() && now.After(expires.Add(cfg.ExpiryGrace)):
		s.endLocked(protocol.Errorf(protocol.CloseTokenExpired, "the token has expired; connect with a new one"))
	case s.asked != 0 && now.Sub(time.Unix(0, s.asked)) >= cfg.HeartbeatTimeout:
		s.endLocked(protocol.Errorf(protocol.CloseHeartbeat, "no answer to the heartbeat within %v", cfg.HeartbeatTimeout))
	case s.asked == 0 && quiet >= cfg.Heartbeat:
		s.asked = now.UnixNano()
		s.out = protocol.AppendServer(s.out, s.format.Encoding(), &wire.ServerFrame{Body: &wire.ServerFrame_Heartbeat{
			Heartbeat: &wire.Heartbeat{IntervalMs: uint32(cfg.Heartbeat.Milliseconds())},
		}})
		s.flush()
		s.srv.met.heartbeats.Inc()
		quiet = 0
	}
	next = now.Add(cfg.Heartbeat - quiet)
	if s.asked != 0 {
		next = time.Unix(0, s.asked).Add(cfg.HeartbeatTimeout)
	}
	if !expires.IsZero() && expires.Add(cfg.ExpiryGrace).Before(next) {
		next = expires.Add(cfg.ExpiryGrace)
	}
	return next
}
