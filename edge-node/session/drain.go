package session

import (
	"context"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Drain times.
const (
	drainStep   = 50 * time.Millisecond // between two groups of clients that are told
	answerGrace = 5 * time.Second       // for publishes that core has not answered
	goneGrace   = 3 * time.Second       // for close frames to leave
)

// Drain asks the clients to move, spread over window, and closes those that
// are still there when it is over and their publishes have been answered. New
// connections are refused from the first moment. It returns early when ctx
// ends: then everybody is closed at once.
func (s *Server) Drain(ctx context.Context, window time.Duration) {
	s.draining.Store(true)
	all := s.wheel.all()
	s.log.Info("draining", "sessions", s.Count(), "window", window)
	s.tell(ctx, all, window)
	until(ctx, answerGrace, func() bool { return s.idle() || s.Count() == 0 })
	for _, c := range s.wheel.all() {
		c.end(protocol.Errorf(protocol.CloseDraining, "this edge is going away; connect to another one"))
	}
	until(ctx, goneGrace, func() bool { return s.Count() == 0 })
}

// tell spreads the request to move over the window.
func (s *Server) tell(ctx context.Context, all []*Session, window time.Duration) {
	steps := max(1, int(window/drainStep))
	each := (len(all) + steps - 1) / steps
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	began := time.Now()
	for len(all) > 0 || time.Since(began) < window {
		if s.Count() == 0 {
			return
		}
		group := all[:min(each, len(all))]
		all = all[len(group):]
		endpoints := s.Elsewhere()
		for _, c := range group {
			c.move(endpoints)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// move asks one client to reconnect elsewhere. It may take up to a second, so
// that those told together do not arrive together.
func (s *Session) move(endpoints []string) {
	if !s.is(connected) {
		return
	}
	s.srv.met.moved.Inc()
	s.reply(&wire.ServerFrame{Body: &wire.ServerFrame_Reconnect{Reconnect: &wire.Reconnect{
		Reason: "draining", WaitMaxMs: uint64(minHintWait.Milliseconds()), Endpoints: endpoints,
	}}})
}

// until waits for done, for at most limit.
func until(ctx context.Context, limit time.Duration, done func() bool) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(drainStep / 5)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-deadline.C:
			return
		case <-tick.C:
		}
	}
}
