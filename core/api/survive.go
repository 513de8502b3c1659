package api

import (
	"time"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// What an acknowledged message survives the loss of.
const (
	surviveRegion = "region"
	surviveZone   = "zone"
)

// Objectives after the loss of a region; drills measure against them.
const (
	// regionRecovery: an election among the remaining voters, and the edges'
	// reset and resend.
	regionRecovery = 10 * time.Second
	// zonePoint: what the other regions' learners may lag behind.
	zonePoint = time.Second
	// zoneRecovery: promotion is an operator's explicit act.
	zoneRecovery = 15 * time.Minute
)

// survives says what a shard's acknowledgements survive: that is where its
// voters stand, and nothing else.
func (s *Server) survives(shard *replica.Shard) string {
	state := s.state.now()
	regions := map[string]bool{}
	for _, p := range shard.Peers() {
		if !p.Voter {
			continue
		}
		region := nodeOf(state, p.ID).GetRegion()
		if p.ID == s.cfg.Self.GetId() {
			region = s.cfg.Self.GetRegion()
		}
		if region != "" {
			regions[region] = true
		}
	}
	if len(regions) >= 3 {
		return surviveRegion
	}
	return surviveZone
}

// placementSurvives is the least that any shard of the default placement does.
func (s *Server) placementSurvives(state *rpc.ControlState) string {
	survive := ""
	for _, p := range state.GetPlacements() {
		if p.GetName() != rpc.DefaultPlacement {
			continue
		}
		for _, id := range p.GetShards() {
			shard := s.roomShard(id)
			if shard == nil {
				continue
			}
			survive = s.survives(shard)
			if survive == surviveZone {
				return survive
			}
		}
	}
	return survive
}

// objectives are the recovery point and time after the loss of a region.
func objectives(survive string) (point, recovery time.Duration) {
	if survive == surviveRegion {
		return 0, regionRecovery
	}
	return zonePoint, zoneRecovery
}
