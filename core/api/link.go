package api

import (
	"context"
	"sync"
	"time"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A link carries the proposals of all edges of this node, for all shards, to
// one other node. It connects when there is something to send. When its stream
// breaks, everything that was on it is reset: its outcome is unknown.
type link struct {
	// Set when made, never changed.
	s       *Server
	address string
	wake    chan struct{} // has room for one: there is something to send
	freed   chan struct{} // has room for one: queued went down

	mu     sync.Mutex // guards the fields below
	queue  []relayed
	queued int       // bytes in queue; <= maxRelayBytes, or one proposal
	down   time.Time // not to be tried again before
}

type relayed struct {
	edge     uint64
	proposal *rpc.Proposal
	commands int
	bytes    int // what they count for
}

// linkTo returns the link to a shard's leader, nil while there is none.
func (s *Server) linkTo(shard *replica.Shard) *link {
	id, address, ok := shard.Leader()
	if !ok || id == s.cfg.Self.GetId() || address == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[address]
	if l == nil {
		if s.ctx.Err() != nil {
			return nil
		}
		l = &link{s: s, address: address, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
		s.links[address] = l
		s.wg.Go(func() { l.run(s.ctx) })
	}
	return l
}

// send queues a proposal, waiting while too much is queued. It is false when
// the link is down. The proposal is the link's from now on.
func (l *link) send(ctx context.Context, r relayed) bool {
	for {
		l.mu.Lock()
		if time.Now().Before(l.down) {
			l.mu.Unlock()
			return false
		}
		if l.queued == 0 || l.queued+r.bytes <= maxRelayBytes {
			break
		}
		l.mu.Unlock()
		select {
		case <-l.freed:
		case <-ctx.Done():
			return false
		}
	}
	l.queued += r.bytes
	if !l.mergeLocked(r) {
		l.queue = append(l.queue, r)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// mergeLocked lets a proposal travel together with the one before it, if it
// continues that one.
func (l *link) mergeLocked(r relayed) bool {
	if len(l.queue) == 0 {
		return false
	}
	last := &l.queue[len(l.queue)-1]
	p, q := r.proposal, last.proposal
	if last.edge != r.edge || q.GetShard() != p.GetShard() || q.GetGeneration() != p.GetGeneration() ||
		q.GetFirst()+uint64(last.commands) != p.GetFirst() ||
		last.bytes+r.bytes > maxMergedBytes || last.commands+r.commands > maxProposalCommands {
		return false
	}
	q.Commands = append(q.Commands, p.GetCommands()...)
	last.commands += r.commands
	last.bytes += r.bytes
	return true
}

func (l *link) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		err := l.relay(ctx)
		if ctx.Err() != nil {
			return
		}
		l.s.log.Warn("relay to another node ended", "node", l.address, "error", err)
		l.s.metrics.relayBreaks.Inc()
		l.mu.Lock()
		l.queue, l.queued = nil, 0
		l.down = time.Now().Add(resetWaitMin)
		l.mu.Unlock()
		select {
		case l.freed <- struct{}{}:
		default:
		}
		l.s.eachEdge(func(e *edge) { e.lanes.resetVia(func(via *link) bool { return via == l }, 0) })
	}
}

// relay keeps one stream until it breaks.
func (l *link) relay(ctx context.Context) error {
	conn, err := l.s.peers.conn(l.address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := rpc.NewPeerClient(conn).Relay(ctx)
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	go func() { broken <- l.receive(stream.Recv) }()
	var batch []relayed
	for {
		l.mu.Lock()
		batch, l.queue = l.queue, batch[:0]
		l.mu.Unlock()
		for i := range batch {
			r := batch[i]
			batch[i] = relayed{}
			if err := stream.Send(&rpc.RelayRequest{Edge: r.edge, Proposal: r.proposal}); err != nil {
				return <-broken // Recv has the reason
			}
			l.mu.Lock()
			l.queued -= r.bytes
			l.mu.Unlock()
			select {
			case l.freed <- struct{}{}:
			default:
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case err := <-broken:
			return err
		case <-ctx.Done():
			cancel()
			return <-broken
		case <-l.wake:
		}
	}
}

// receive takes answers until the stream ends.
func (l *link) receive(recv func() (*rpc.RelayResponse, error)) error {
	for {
		m, err := recv()
		if err != nil {
			return err
		}
		e := l.s.edge(m.GetEdge())
		if e == nil {
			continue // it has left
		}
		switch f := m.GetFrame().(type) {
		case *rpc.RelayResponse_Results:
			e.lanes.answer(laneKey{m.GetEdge(), f.Results.GetShard()}, f.Results)
		case *rpc.RelayResponse_Reset_:
			e.lanes.relayReset(laneKey{m.GetEdge(), f.Reset_.GetShard()}, f.Reset_)
		}
	}
}

// Relay is the leader's end of another node's link.
func (p peerService) Relay(stream rpc.Peer_RelayServer) error {
	s := p.s
	l := newLanes(s, false, maxRelayBytes)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	broken := make(chan error, 1)
	s.wg.Go(func() {
		for {
			m, err := stream.Recv()
			if err == nil {
				err = l.propose(ctx, m.GetEdge(), m.GetProposal())
			}
			if err != nil {
				broken <- err
				return
			}
		}
	})
	var batch []answer
	for {
		select {
		case <-l.out.wake:
		case err := <-broken:
			return ended(err)
		case <-s.ctx.Done():
			return errClosing
		}
		batch = l.out.take(batch)
		cost := 0
		for _, a := range batch {
			m := &rpc.RelayResponse{Edge: a.edge}
			if a.results != nil {
				m.Frame = &rpc.RelayResponse_Results{Results: a.results}
			} else {
				m.Frame = &rpc.RelayResponse_Reset_{Reset_: a.reset}
			}
			if err := stream.Send(m); err != nil {
				return err
			}
			cost += a.cost
		}
		l.release(cost)
	}
}
