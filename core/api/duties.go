package api

import (
	"time"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// followShard watches who leads a shard: lanes that wait for a leader which is
// no longer one are reset, and as leader this node gives the shard its policies.
func (s *Server) followShard(shard *replica.Shard) {
	tick := time.NewTicker(dutyEvery)
	defer tick.Stop()
	for {
		moved := shard.LeaderChanges()
		_, changed := s.state.get()
		if shard.ID() != ControlShard {
			s.resetStale(shard)
			s.bringPolicies(shard)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-moved:
		case <-changed:
		case <-tick.C:
		}
	}
}

// resetStale resets the lanes whose proposals are on their way to another node
// than the shard's leader. Without waiting for the link to break: a node that
// was cut off keeps its connections for a while.
func (s *Server) resetStale(shard *replica.Shard) {
	_, address, ok := shard.Leader()
	if !ok {
		return // the next leader may be the same again
	}
	s.eachEdge(func(e *edge) {
		e.lanes.resetVia(func(via *link) bool { return via != nil && via.address != address }, shard.ID())
	})
}

// bringPolicies puts control's policies into the log of a shard that this node
// leads, if they are newer there.
func (s *Server) bringPolicies(shard *replica.Shard) {
	policies := s.state.now().GetPolicies()
	if !shard.IsLeader() || policies.GetVersion() == 0 {
		return
	}
	var have uint64
	shard.View(func(m machine.Machine, _ machine.Reader) { have = m.(*room.Shard).PoliciesVersion() })
	if have >= policies.GetVersion() {
		return
	}
	if asked, ok := s.policiesAsked.Load(shard.ID()); ok && asked.(uint64) >= policies.GetVersion() {
		return
	}
	s.policiesAsked.Store(shard.ID(), policies.GetVersion())
	section := leaderSection(&rpc.Command{Op: &rpc.Command_Policies{Policies: policies}})
	shard.Submit(section, func(_ int, _ any, err error) {
		s.policiesAsked.Delete(shard.ID()) // applied, or to be tried again
		if err != nil {
			s.log.Warn("policies did not get into a shard's log", "shard", shard.ID(), "version", policies.GetVersion(), "error", err)
		}
	})
}
