package api

import (
	"sync"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// state is the newest control state, shared by everybody and never changed.
type state struct {
	mu      sync.Mutex // guards the fields below
	current *rpc.ControlState
	brief   *rpc.ControlState // current as edges get it; nil: not made yet
	changed chan struct{}     // closed by the next change
}

func newState() *state {
	return &state{current: &rpc.ControlState{}, changed: make(chan struct{})}
}

func (s *state) now() *rpc.ControlState {
	current, _ := s.get()
	return current
}

// get returns the state and a channel that is closed when there is a newer one.
func (s *state) get() (*rpc.ControlState, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.changed
}

// forEdges is get without what edges report of their rules: that is for
// operators, and would have every edge hear of every other's.
func (s *state) forEdges() (*rpc.ControlState, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.brief == nil {
		c := s.current
		s.brief = &rpc.ControlState{
			Cluster: c.GetCluster(), Version: c.GetVersion(), Placements: c.GetPlacements(), Nodes: c.GetNodes(),
			Policies: c.GetPolicies(), Filters: c.GetFilters(), Edges: make([]*rpc.Edge, 0, len(c.GetEdges())),
		}
		for _, e := range c.GetEdges() {
			s.brief.Edges = append(s.brief.Edges, &rpc.Edge{
				Incarnation: e.GetIncarnation(), Name: e.GetName(), Region: e.GetRegion(), Endpoints: e.GetEndpoints(),
				TtlMs: e.GetTtlMs(), Draining: e.GetDraining(), Sessions: e.GetSessions(),
			})
		}
	}
	return s.brief, s.changed
}

// put takes a newer state.
func (s *state) put(next *rpc.ControlState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.GetVersion() <= s.current.GetVersion() {
		return false
	}
	s.current, s.brief = next, nil
	close(s.changed)
	s.changed = make(chan struct{})
	return true
}

// node returns what is known of a node.
func nodeOf(state *rpc.ControlState, id string) *rpc.Node {
	for _, n := range state.GetNodes() {
		if n.GetId() == id && !n.GetRemoved() {
			return n
		}
	}
	return nil
}
