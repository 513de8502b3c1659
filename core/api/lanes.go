package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// laneKey is one edge incarnation's commands to one shard.
type laneKey struct {
	edge  uint64
	shard uint32
}

// flight is a proposal that is under way.
type flight struct {
	generation, first uint64
	count             int
	cost              int
	via               *link // nil: submitted here
}

// lane is what one stream knows of a lane.
type lane struct {
	flights []flight // oldest first, consecutive
	given   uint64   // generations up to this were reset or left behind: nothing of them counts
}

// lanes are all lanes of one stream: an edge's attach, or another node's relay.
// propose is called by the stream's reader only; everything else by anyone.
type lanes struct {
	s       *Server
	forward bool // to the leader's node, if it is not this one
	limit   int
	out     *outbox

	mu    sync.Mutex // guards the fields below
	byKey map[laneKey]*lane
	bytes int           // cost of what is under way or waits in out; <= limit, or one proposal
	freed chan struct{} // has room for one: bytes went down
}

func newLanes(s *Server, forward bool, limit int) *lanes {
	return &lanes{s: s, forward: forward, limit: limit, out: newOutbox(), byKey: map[laneKey]*lane{}, freed: make(chan struct{}, 1)}
}

// propose takes one proposal on its way. It waits while too much is unanswered;
// an error ends the stream.
func (l *lanes) propose(ctx context.Context, edge uint64, p *rpc.Proposal) error {
	shard := l.s.roomShard(p.GetShard())
	key := laneKey{edge, p.GetShard()}
	n, cost, err := checkProposal(edge, p, shard)
	if err != nil && l.forward {
		return err
	}
	if err != nil { // a relay carries other edges too: only this lane is to suffer
		l.s.log.Warn("proposal from another node refused", "error", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resetLocked(key, l.laneLocked(key), p.GetGeneration(), protocol.BadCommand, resetWaitMax)
		return nil
	}
	if err := l.wait(ctx, cost); err != nil {
		return err
	}

	leader := shard.IsLeader()
	var via *link
	if !leader && l.forward {
		via = l.s.linkTo(shard)
	}
	l.mu.Lock()
	ln := l.laneLocked(key)
	if p.GetGeneration() <= ln.given {
		l.mu.Unlock()
		return nil
	}
	if k := len(ln.flights); k > 0 && ln.flights[k-1].generation < p.GetGeneration() {
		l.leaveLocked(ln, p.GetGeneration()-1) // the edge has moved on by itself
	}
	k := len(ln.flights)
	if !leader && via == nil || k > 0 && ln.flights[k-1].via != via {
		l.resetLocked(key, ln, p.GetGeneration(), protocol.NoLeader, resetWait())
		l.mu.Unlock()
		return nil
	}
	ln.flights = append(ln.flights, flight{p.GetGeneration(), p.GetFirst(), n, cost, via})
	l.bytes += cost
	l.mu.Unlock()

	if via != nil {
		if !via.send(ctx, relayed{edge, p, n, cost}) {
			l.reset(key, p.GetGeneration(), protocol.NoLeader, resetWait())
		}
		return nil
	}
	section := room.AppendSection(nil, edge, p.GetGeneration(), p.GetFirst(), p.GetCommands())
	generation, first := p.GetGeneration(), p.GetFirst()
	shard.Submit(section, func(i int, effects any, err error) {
		l.applied(key, generation, first, n, i, effects, err)
	})
	return nil
}

// checkProposal returns how many commands a proposal has, and what they count
// for in bytes.
func checkProposal(edge uint64, p *rpc.Proposal, shard *replica.Shard) (n, cost int, err error) {
	switch {
	case edge == 0 || p.GetGeneration() == 0 || p.GetFirst() == 0 || len(p.GetCommands()) == 0:
		return 0, 0, status.Error(codes.InvalidArgument, "a proposal needs an edge, a generation, a first ordinal and commands")
	case shard == nil:
		return 0, 0, status.Errorf(codes.InvalidArgument, "no room shard %d on this node", p.GetShard())
	}
	rest := p.GetCommands()
	for ; len(rest) > 0; n++ {
		command, after, ok := rpc.NextCommand(rest)
		if !ok {
			return 0, 0, status.Error(codes.InvalidArgument, "the commands of a proposal cannot be told apart")
		}
		if rest = after; !room.Known(command) {
			return 0, 0, status.Error(codes.InvalidArgument, "a command of a newer version: upgrade the core nodes before the edges")
		}
	}
	if n > maxProposalCommands {
		return 0, 0, status.Errorf(codes.InvalidArgument, "%d commands in a proposal, at most %d", n, maxProposalCommands)
	}
	return n, len(p.GetCommands()) + n*commandOverhead, nil
}

// wait blocks until cost fits. One proposal always fits.
func (l *lanes) wait(ctx context.Context, cost int) error {
	for {
		l.mu.Lock()
		fits := l.bytes == 0 || l.bytes+cost <= l.limit
		l.mu.Unlock()
		if fits {
			return nil
		}
		l.s.metrics.pressure.Inc()
		select {
		case <-l.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release gives back the cost of answers that have left.
func (l *lanes) release(cost int) {
	l.mu.Lock()
	l.bytes -= cost
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

func (l *lanes) laneLocked(key laneKey) *lane {
	ln := l.byKey[key]
	if ln == nil {
		if len(l.byKey) >= maxLanes {
			for k, idle := range l.byKey {
				if len(idle.flights) == 0 {
					delete(l.byKey, k)
				}
			}
		}
		ln = &lane{}
		l.byKey[key] = ln
	}
	return ln
}

// applied is called by the shard's apply goroutine when a section of this node
// has its outcome, or cannot have one.
func (l *lanes) applied(key laneKey, generation, first uint64, count, i int, effects any, err error) {
	if err != nil {
		code, wait := protocol.NoLeader, resetWait()
		switch {
		case errors.Is(err, replica.ErrDiskFull):
			code, wait = protocol.DiskFull, fullWait
		case errors.Is(err, replica.ErrOverloaded):
			code = protocol.Overloaded
		case errors.Is(err, replica.ErrNotLeader):
			code = protocol.NotLeader
		}
		l.reset(key, generation, code, wait)
		return
	}
	sections := effects.(*room.Effects).Sections
	if i >= len(sections) {
		panic("api: an entry's effects have fewer sections than the entry")
	}
	r := &sections[i]
	if r.Reset != protocol.OK || len(r.Results) != count {
		l.reset(key, generation, r.Reset, resetWait())
		return
	}
	l.answer(key, &rpc.ProposalResults{Shard: key.shard, Generation: generation, First: first, Results: r.Results})
}

// answer passes results back if they are the oldest that the lane waits for.
// Results may cover several proposals.
func (l *lanes) answer(key laneKey, r *rpc.ProposalResults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.byKey[key]
	if ln == nil || len(ln.flights) == 0 || ln.flights[0].generation != r.GetGeneration() || ln.flights[0].first != r.GetFirst() {
		return // of a generation that was reset
	}
	left, cost, n := len(r.GetResults()), 0, 0
	for left > 0 && n < len(ln.flights) && ln.flights[n].count <= left {
		left -= ln.flights[n].count
		cost += ln.flights[n].cost
		n++
	}
	if left != 0 {
		l.resetLocked(key, ln, r.GetGeneration(), protocol.Fenced, resetWait()) // not what was asked
		return
	}
	ln.flights = drop(ln.flights, n)
	l.out.put(answer{edge: key.edge, results: r, cost: cost})
}

// drop removes the first n, keeping the slice's memory.
func drop(f []flight, n int) []flight {
	return f[:copy(f, f[n:])]
}

// reset gives a generation up, once: the edge sends all that is unanswered
// again under the next one.
func (l *lanes) reset(key laneKey, generation uint64, code protocol.Code, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.byKey[key]; ln != nil && generation > ln.given {
		l.resetLocked(key, ln, generation, code, wait)
	}
}

func (l *lanes) resetLocked(key laneKey, ln *lane, generation uint64, code protocol.Code, wait time.Duration) {
	l.leaveLocked(ln, generation)
	l.bytes += resetCost
	l.s.metrics.resets.WithLabelValues(code.Name()).Inc()
	l.out.put(answer{edge: key.edge, cost: resetCost, reset: &rpc.LaneReset{
		Shard: key.shard, Generation: generation, Code: uint32(code), RetryAfterMs: uint64(wait.Milliseconds()),
	}})
}

// leaveLocked forgets what is under way in generations up to the given one.
func (l *lanes) leaveLocked(ln *lane, generation uint64) {
	n := 0
	for n < len(ln.flights) && ln.flights[n].generation <= generation {
		l.bytes -= ln.flights[n].cost
		n++
	}
	ln.flights = drop(ln.flights, n)
	ln.given = generation
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// resetVia gives up every lane that waits for an answer over a link that lost
// them. shard, if not 0, restricts it to one shard.
func (l *lanes) resetVia(lost func(via *link) bool, shard uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, ln := range l.byKey {
		if n := len(ln.flights); n > 0 && (shard == 0 || key.shard == shard) && lost(ln.flights[n-1].via) {
			l.resetLocked(key, ln, ln.flights[n-1].generation, protocol.NoLeader, resetWait())
		}
	}
}

// resetWait is jittered, so that the edges of a lost leader do not come back at
// the same moment.
func resetWait() time.Duration {
	return resetWaitMin + rand.N(resetWaitMax-resetWaitMin)
}
