package api

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

var errClosing = status.Error(codes.Unavailable, "this node is closing; attach to another one")

// An edge is one attached edge incarnation. Its Attach call owns it: one
// goroutine reads, the handler writes, a third keeps the edge's lease.
type edge struct {
	incarnation uint64
	identity    string
	lanes       *lanes
	fenced      chan struct{} // closed when a newer Attach takes over
	hellos      chan *rpc.Edge
}

// Attach serves one edge until its stream ends.
func (c coreService) Attach(stream rpc.Core_AttachServer) error {
	s := c.s
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	id, _ := caller(ctx)
	e := &edge{identity: id.String(), lanes: newLanes(s, true, maxEdgeBytes), fenced: make(chan struct{}), hellos: make(chan *rpc.Edge, 1)}

	broken := make(chan error, 1)
	s.wg.Go(func() { broken <- e.read(ctx, stream.Recv) })
	var hello *rpc.Edge
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case hello = <-e.hellos:
	case err := <-broken:
		return ended(err)
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "no hello")
	case <-s.ctx.Done():
		return errClosing
	}
	if s.state.now().GetCluster() == "" {
		return status.Error(codes.Unavailable, "this node is not a member of a cluster yet; attach to another one")
	}
	e.incarnation = hello.GetIncarnation()
	if err := s.attach(e); err != nil {
		return err
	}
	defer s.detach(e)
	s.log.Info("edge attached", "edge", hello.GetName(), "incarnation", e.incarnation, "region", hello.GetRegion())
	lease := newLease(s, hello, actor(ctx))
	defer lease.stop()

	state, changed := s.state.forEdges()
	err := stream.Send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_Welcome{Welcome: &rpc.Welcome{
		Node: s.cfg.Self.GetId(), Region: s.cfg.Self.GetRegion(), State: state, Survive: s.placementSurvives(state),
	}}})
	var batch []answer
	moved := changed // nil for a moment after a state was sent
	pause := time.NewTimer(stateEvery)
	defer pause.Stop()
	for err == nil {
		select {
		case <-e.lanes.out.wake:
			batch, err = e.flush(stream, batch)
		case <-moved:
			state, changed = s.state.forEdges()
			err = stream.Send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_State{State: state}})
			moved = nil
			pause.Reset(stateEvery)
		case <-pause.C:
			moved = changed
		case h := <-e.hellos:
			lease.renew(h)
		case <-e.fenced:
			return status.Error(codes.Aborted, "a newer attach of this incarnation has taken over")
		case err := <-broken:
			if err == io.EOF { //nolint:errorlint // Recv returns it bare
				lease.leave()
				s.log.Info("edge detached", "edge", hello.GetName(), "incarnation", e.incarnation)
			}
			return ended(err)
		case <-s.ctx.Done():
			return errClosing
		}
	}
	return err
}

// read owns the receiving side.
func (e *edge) read(ctx context.Context, recv func() (*rpc.AttachRequest, error)) error {
	var incarnation uint64
	for {
		m, err := recv()
		if err != nil {
			return err
		}
		switch f := m.GetFrame().(type) {
		case *rpc.AttachRequest_Hello:
			if err := checkHello(f.Hello, incarnation); err != nil {
				return err
			}
			incarnation = f.Hello.GetIncarnation()
			select { // the newest replaces one that nobody has looked at
			case <-e.hellos:
			default:
			}
			e.hellos <- f.Hello
		case *rpc.AttachRequest_Proposal:
			if incarnation == 0 {
				return status.Error(codes.FailedPrecondition, "hello must come first")
			}
			if err := e.lanes.propose(ctx, incarnation, f.Proposal); err != nil {
				return err
			}
		default:
			return status.Error(codes.InvalidArgument, "a frame that this version does not know")
		}
	}
}

func checkHello(h *rpc.Edge, incarnation uint64) error {
	switch {
	case h.GetIncarnation() == 0:
		return status.Error(codes.InvalidArgument, "an edge needs an incarnation other than 0")
	case incarnation != 0 && h.GetIncarnation() != incarnation:
		return status.Error(codes.InvalidArgument, "an incarnation never changes; attach again")
	case len(h.GetName()) > protocol.MaxName || len(h.GetRegion()) > protocol.MaxName || len(h.GetEndpoints()) > 16:
		return status.Error(codes.InvalidArgument, "an edge's name, region or endpoints are too long")
	}
	for _, u := range h.GetEndpoints() {
		if len(u) > 512 {
			return status.Error(codes.InvalidArgument, "an edge's endpoint is too long")
		}
	}
	return nil
}

// flush sends what waits and gives its cost back.
func (e *edge) flush(stream rpc.Core_AttachServer, batch []answer) ([]answer, error) {
	batch = e.lanes.out.take(batch)
	cost := 0
	for _, a := range batch {
		m := &rpc.AttachResponse{}
		if a.results != nil {
			m.Frame = &rpc.AttachResponse_Results{Results: a.results}
		} else {
			m.Frame = &rpc.AttachResponse_Reset_{Reset_: a.reset}
		}
		if err := stream.Send(m); err != nil {
			return batch, err
		}
		cost += a.cost
	}
	e.lanes.release(cost)
	return batch, nil
}

// relayReset takes over a reset that the leader's node decided.
func (l *lanes) relayReset(key laneKey, r *rpc.LaneReset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.byKey[key]
	if ln == nil || len(ln.flights) == 0 || ln.flights[0].via == nil || ln.flights[0].generation > r.GetGeneration() {
		return // of an older stream
	}
	l.resetLocked(key, ln, r.GetGeneration(), protocol.Code(r.GetCode()), time.Duration(r.GetRetryAfterMs())*time.Millisecond)
}

// attach makes e the edge of its incarnation; a stream before it ends.
func (s *Server) attach(e *edge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.edges[e.incarnation]
	switch {
	case old != nil && old.identity != e.identity:
		return status.Error(codes.PermissionDenied, "this incarnation belongs to another identity")
	case old == nil && len(s.edges) >= maxEdges:
		return status.Errorf(codes.ResourceExhausted, "%d edges are attached to this node, which is its limit; attach to another", maxEdges)
	}
	if old != nil {
		close(old.fenced)
	}
	s.edges[e.incarnation] = e
	s.metrics.edges.Set(float64(len(s.edges)))
	return nil
}

func (s *Server) detach(e *edge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.edges[e.incarnation] == e {
		delete(s.edges, e.incarnation)
		s.metrics.edges.Set(float64(len(s.edges)))
	}
}

// edge returns who is attached under an incarnation, nil for nobody.
func (s *Server) edge(incarnation uint64) *edge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edges[incarnation]
}

// eachEdge calls visit for all attached edges.
func (s *Server) eachEdge(visit func(*edge)) {
	s.mu.Lock()
	all := make([]*edge, 0, len(s.edges))
	for _, e := range s.edges {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, e := range all {
		visit(e)
	}
}

// ended turns the end of a stream into its status: the peer's own end is none.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
