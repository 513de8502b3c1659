package api

import (
	"sync"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// An answer goes back along a lane: results, or the lane's reset.
type answer struct {
	edge    uint64
	results *rpc.ProposalResults
	reset   *rpc.LaneReset
	cost    int // bytes to release when it has left
}

// resetCost is what an unsent reset counts for, in bytes.
const resetCost = 64

// An outbox holds the answers that wait for their stream's one sender. It is
// bounded by the lanes' budget: an answer's cost is released when it has left.
type outbox struct {
	mu      sync.Mutex // guards answers
	answers []answer

	wake chan struct{} // has room for one: there is something
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) put(a answer) {
	o.mu.Lock()
	if !o.mergeLocked(a) {
		o.answers = append(o.answers, a)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// mergeLocked lets results that continue the last ones leave together with them.
func (o *outbox) mergeLocked(a answer) bool {
	if len(o.answers) == 0 || a.results == nil {
		return false
	}
	last := &o.answers[len(o.answers)-1]
	r := last.results
	if r == nil || last.edge != a.edge || r.GetShard() != a.results.GetShard() ||
		r.GetGeneration() != a.results.GetGeneration() ||
		r.GetFirst()+uint64(len(r.GetResults())) != a.results.GetFirst() ||
		len(r.GetResults())+len(a.results.GetResults()) > maxProposalCommands {
		return false
	}
	r.Results = append(r.Results[:len(r.Results):len(r.Results)], a.results.GetResults()...)
	last.cost += a.cost
	return true
}

// take returns what waits, in order, and keeps the given slice for what comes.
func (o *outbox) take(empty []answer) []answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.answers
	o.answers = empty[:0]
	return taken
}
