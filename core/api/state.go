package api

import (
	"sync"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// state is the newest control state, shared by everybody and never changed.
type state struct {
	mu      sync.Mutex // guards the fields below
	current *rpc.ControlState
	changed chan struct{} // closed by the next change
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

// put takes a newer state.
func (s *state) put(next *rpc.ControlState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.GetVersion() <= s.current.GetVersion() {
		return false
	}
	s.current = next
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
