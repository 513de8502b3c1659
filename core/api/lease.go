package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A lease keeps one attached edge in the control state: at once, when the edge
// says something new, and every third of its time to live.
type lease struct {
	s      *Server
	actor  string
	hello  *rpc.Edge
	news   chan *rpc.Edge
	cancel context.CancelFunc
	done   chan struct{}
}

func newLease(s *Server, hello *rpc.Edge, actor string) *lease {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &lease{s: s, actor: actor, hello: clamp(hello), news: make(chan *rpc.Edge, 1), cancel: cancel, done: make(chan struct{})}
	s.wg.Go(func() {
		defer close(l.done)
		l.keep(ctx)
	})
	return l
}

func clamp(h *rpc.Edge) *rpc.Edge {
	h = proto.Clone(h).(*rpc.Edge)
	ttl := time.Duration(h.GetTtlMs()) * time.Millisecond
	if ttl == 0 {
		ttl = defaultTTL
	}
	h.TtlMs = uint32(min(max(ttl, minTTL), maxTTL).Milliseconds())
	h.Filters = control.BoundReports(h.Filters)
	return h
}

func (l *lease) keep(ctx context.Context) {
	hello := l.hello
	for {
		ttl := time.Duration(hello.GetTtlMs()) * time.Millisecond
		pause := ttl / 3
		if err := l.put(ctx, hello, ttl/3); err != nil && ctx.Err() == nil {
			l.s.log.Warn("edge's lease could not be renewed", "edge", hello.GetName(), "error", err)
			pause = retryPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case hello = <-l.news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (l *lease) put(ctx context.Context, hello *rpc.Edge, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := l.s.Propose(ctx, &rpc.ControlCommand{Actor: l.actor, Op: &rpc.ControlCommand_PutEdge{PutEdge: &rpc.PutEdge{Edge: hello}}})
	return err
}

// renew says what the edge says now.
func (l *lease) renew(hello *rpc.Edge) {
	hello = clamp(hello)
	select {
	case <-l.news:
	default:
	}
	l.news <- hello
}

// stop ends renewing and waits for it; the lease lapses by itself.
func (l *lease) stop() {
	l.cancel()
	<-l.done
}

// leave removes the edge, which has said good-bye.
func (l *lease) leave() {
	l.stop()
	ctx, cancel := context.WithTimeout(l.s.ctx, statusTimeout)
	defer cancel()
	_, err := l.s.Propose(ctx, &rpc.ControlCommand{Actor: l.actor, Op: &rpc.ControlCommand_RemoveEdge{
		RemoveEdge: &rpc.RemoveEdge{Incarnation: l.hello.GetIncarnation()},
	}})
	if err != nil {
		l.s.log.Warn("edge could not be removed, its lease will lapse", "edge", l.hello.GetName(), "error", err)
	}
}
