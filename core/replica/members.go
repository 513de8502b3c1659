package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

func (p Peer) server() raft.Server {
	suffrage := raft.Nonvoter
	if p.Voter {
		suffrage = raft.Voter
	}
	return raft.Server{Suffrage: suffrage, ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)}
}

// Peers lists the shard's members as this node last heard of them, itself
// included.
func (s *Shard) Peers() []Peer {
	f := s.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	servers := f.Configuration().Servers
	peers := make([]Peer, 0, len(servers))
	for _, v := range servers {
		peers = append(peers, Peer{ID: string(v.ID), Address: string(v.Address), Voter: v.Suffrage == raft.Voter})
	}
	return peers
}

func (s *Shard) hasPeers() bool {
	f := s.raft.GetConfiguration()
	return f.Error() == nil && len(f.Configuration().Servers) > 1
}

// AddPeer makes a node a member of the shard, or changes its vote or address.
// Leader only.
func (s *Shard) AddPeer(ctx context.Context, p Peer) error {
	add := s.raft.AddNonvoter
	if p.Voter {
		add = s.raft.AddVoter
	} else {
		for _, have := range s.Peers() {
			if have.ID == p.ID && have.Voter { // AddNonvoter would leave the vote
				if err := s.change(ctx, s.raft.DemoteVoter(raft.ServerID(p.ID), 0, rpcTimeout)); err != nil {
					return err
				}
			}
		}
	}
	return s.change(ctx, add(raft.ServerID(p.ID), raft.ServerAddress(p.Address), 0, rpcTimeout))
}

// RemovePeer takes a node out of the shard. Leader only.
func (s *Shard) RemovePeer(ctx context.Context, id string) error {
	return s.change(ctx, s.raft.RemoveServer(raft.ServerID(id), 0, rpcTimeout))
}

func (s *Shard) change(ctx context.Context, f raft.Future) error {
	err := wait(ctx, f)
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return err
}

// Transfer hands the shard's leadership to a voter, any for "". Leader only,
// one at a time (ErrBusy).
func (s *Shard) Transfer(ctx context.Context, id string) error {
	if !s.leading.Load() {
		return ErrNotLeader
	}
	if !s.transfers.TryLock() {
		return ErrBusy
	}
	var f raft.Future
	if id == "" {
		f = s.raft.LeadershipTransfer()
	} else {
		address := ""
		for _, p := range s.Peers() {
			if p.ID == id && p.Voter {
				address = p.Address
			}
		}
		if address == "" {
			s.transfers.Unlock()
			return fmt.Errorf("%q is no voter of shard %d", id, s.id)
		}
		f = s.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(address))
	}
	// Released when raft is done, not when the caller has lost patience.
	done := make(chan error, 1)
	if !s.node.begin() {
		s.transfers.Unlock()
		return ErrClosed
	}
	go func() {
		defer s.node.running.Done()
		defer s.transfers.Unlock()
		life := s.node.ctx
		err := wait(life, f)
		if s.elected.Load() { // it failed: does raft take entries again?
			s.transferSeen(s.probe(life))
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("transfer shard %d to %q: %w", s.id, id, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// preference is what the lead goroutine remembers of handing a shard over.
type preference struct {
	failing map[raft.ServerID]bool // peers that do not answer heartbeats
	waits   int                    // rounds to let pass: a failed transfer stops proposals for a while
	next    int
}

// prefer hands the shard over when its preferred region has a voter that
// answers, and this node is not in that region.
func (s *Shard) prefer(ctx context.Context, p *preference) {
	cfg := &s.node.cfg
	if cfg.Preferred == nil || cfg.PeerRegion == nil {
		return
	}
	region := cfg.Preferred(s.id)
	if region == "" || region == cfg.Region {
		return
	}
	if p.waits > 0 {
		p.waits--
		return
	}
	for _, v := range s.Peers() {
		if !v.Voter || v.ID == cfg.Node || cfg.PeerRegion(v.ID) != region || p.failing[raft.ServerID(v.ID)] {
			continue
		}
		err := s.Transfer(ctx, v.ID)
		if err == nil {
			s.log.Info("leadership went to its preferred region", "shard", s.id, "region", region, "node", v.ID)
			p.next = 0
			return
		}
		s.log.Warn("leadership stays outside its preferred region", "shard", s.id, "region", region, "error", err)
		p.next = min(2*p.next+1, preferWaits)
		p.waits = p.next
		return
	}
}
