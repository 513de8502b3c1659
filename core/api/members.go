package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A node's id is the name in its certificate, or that name, a dot and a number:
// a node that lost its data directory comes back as the next one, because votes
// it may have given are lost with it.

// BaseName is the name that a node's certificate must have.
func BaseName(id string) string {
	if i := strings.LastIndexByte(id, '.'); i > 0 && i+1 < len(id) && strings.Trim(id[i+1:], "0123456789") == "" {
		return id[:i]
	}
	return id
}

// NextID is the id for a node that has no data yet: its name, or the next
// number behind it when the cluster has seen that name before.
func NextID(state *rpc.ControlState, name string) string {
	used := map[string]bool{}
	for _, n := range state.GetNodes() {
		used[n.GetId()] = true
	}
	id := name
	for i := 2; used[id]; i++ {
		id = fmt.Sprintf("%s.%d", name, i)
	}
	return id
}

// Join makes the caller a member of every shard. Control's leader takes the
// request, puts the node into the control state, and passes the request on to
// the leaders of the other shards. It is repeated by the caller until it is
// answered OK, and may be repeated ever after.
func (p peerService) Join(ctx context.Context, req *rpc.JoinRequest) (*rpc.JoinResponse, error) {
	s := p.s
	node := req.GetNode()
	from, _ := caller(ctx)
	passedOn := forwarded(ctx)
	if !passedOn && from.Name != BaseName(node.GetId()) && from.Name != node.GetId() {
		return nil, status.Errorf(codes.PermissionDenied, "%s may not join as node %q", from, node.GetId())
	}
	if passedOn {
		return s.joinResponse(s.addHere(ctx, node)), nil
	}
	controlShard := s.node.Shard(ControlShard)
	if !controlShard.IsLeader() {
		_, leader, _ := controlShard.Leader()
		return &rpc.JoinResponse{Code: uint32(protocol.NotLeader), Message: "this node does not lead control", Leader: leader, State: s.state.now()}, nil
	}
	if err := s.join(ctx, node, from.String()); err != nil {
		s.log.Warn("node could not join yet", "node", node.GetId(), "error", err)
		return s.joinResponse(err), nil
	}
	return s.joinResponse(nil), nil
}

func (s *Server) joinResponse(err error) *rpc.JoinResponse {
	out := &rpc.JoinResponse{State: s.state.now()}
	var refused *protocol.Error
	switch {
	case errors.As(err, &refused):
		out.Code, out.Message = uint32(refused.Code), refused.Message
	case err != nil:
		out.Code, out.Message = uint32(protocol.Unavailable), err.Error()
	}
	return out
}

// join does it all, as control's leader, one node at a time.
func (s *Server) join(ctx context.Context, node *rpc.Node, actor string) error {
	if !s.joinings.TryLock() {
		return errors.New("another change of members is under way; try again")
	}
	defer s.joinings.Unlock()
	res, err := s.proposeHere(ctx, s.node.Shard(ControlShard), &rpc.ControlCommand{
		Actor: actor, Op: &rpc.ControlCommand_PutNode{PutNode: &rpc.PutNode{Node: node}},
	})
	if err != nil {
		return err
	}
	if code := protocol.Code(res.GetCode()); code != protocol.OK {
		return &protocol.Error{Code: code, Message: res.GetMessage()}
	}
	if err := s.everywhere(ctx, node.GetId(), func(ctx context.Context, peer rpc.PeerClient, _ rpc.OperatorClient) error {
		res, err := peer.Join(forwarding(ctx, actor), &rpc.JoinRequest{Node: node})
		if err == nil && res.GetCode() != 0 {
			err = errors.New(res.GetMessage())
		}
		return err
	}, func() error { return s.addHere(ctx, node) }); err != nil {
		return err
	}
	for _, shard := range s.node.Shards() {
		if !slices.ContainsFunc(shard.Peers(), func(p replica.Peer) bool { return isPeer(p, node) }) {
			return fmt.Errorf("shard %d has no leader to add the node, or this node has not heard of it yet; try again", shard.ID())
		}
	}
	for _, old := range s.predecessors(node) {
		res, err := s.proposeHere(ctx, s.node.Shard(ControlShard), &rpc.ControlCommand{
			Actor: actor, Op: &rpc.ControlCommand_RemoveNode{RemoveNode: &rpc.RemoveNode{Id: old}},
		})
		if err != nil || res.GetCode() != 0 {
			s.log.Warn("predecessor could not be removed", "node", old, "message", res.GetMessage(), "error", err)
		}
	}
	return nil
}

func isPeer(p replica.Peer, node *rpc.Node) bool {
	return p.ID == node.GetId() && p.Address == node.GetAddress() && p.Voter == node.GetVoter()
}

// predecessors are earlier lives of the same node, whose data are lost.
func (s *Server) predecessors(node *rpc.Node) (ids []string) {
	for _, n := range s.state.now().GetNodes() {
		if !n.GetRemoved() && n.GetId() != node.GetId() && BaseName(n.GetId()) == BaseName(node.GetId()) {
			ids = append(ids, n.GetId())
		}
	}
	return ids
}

// addHere adds a node to the shards that this node leads.
func (s *Server) addHere(ctx context.Context, node *rpc.Node) error {
	old := s.predecessors(node)
	for _, shard := range s.node.Shards() {
		if !shard.IsLeader() {
			continue
		}
		if err := s.addTo(ctx, shard, node, old); err != nil {
			return fmt.Errorf("add %s to shard %d: %w", node.GetId(), shard.ID(), err)
		}
	}
	return nil
}

func (s *Server) addTo(ctx context.Context, shard *replica.Shard, node *rpc.Node, old []string) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	peers := shard.Peers()
	for _, p := range peers {
		if slices.Contains(old, p.ID) {
			if err := shard.RemovePeer(ctx, p.ID); err != nil {
				return err
			}
		}
	}
	if slices.ContainsFunc(peers, func(p replica.Peer) bool { return isPeer(p, node) }) {
		return nil
	}
	return shard.AddPeer(ctx, replica.Peer{ID: node.GetId(), Address: node.GetAddress(), Voter: node.GetVoter()})
}

// everywhere has every other node but the one concerned do its part, then this
// one.
func (s *Server) everywhere(ctx context.Context, but string, there func(context.Context, rpc.PeerClient, rpc.OperatorClient) error, here func() error) error {
	for _, n := range s.state.now().GetNodes() {
		if n.GetRemoved() || n.GetId() == but || n.GetId() == s.cfg.Self.GetId() {
			continue
		}
		conn, err := s.peers.conn(n.GetAddress())
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		err = there(ctx, rpc.NewPeerClient(conn), rpc.NewOperatorClient(conn))
		cancel()
		if status.Code(err) == codes.Unavailable {
			continue // it is down, so it leads nothing
		}
		if err != nil {
			return fmt.Errorf("node %s: %w", n.GetId(), err)
		}
	}
	return here()
}

// DropNode takes a node out of every shard and out of the control state. It
// refuses when the shards could not go on without it.
func (o operatorService) DropNode(ctx context.Context, req *rpc.RemoveNode) (*rpc.ControlResult, error) {
	s, id := o.s, req.GetId()
	if forwarded(ctx) {
		if err := s.dropHere(ctx, id); err != nil {
			return refusal(protocol.Unavailable, err.Error()), nil
		}
		return &rpc.ControlResult{}, nil
	}
	if nodeOf(s.state.now(), id) == nil {
		return refusal(protocol.NotFound, "there is no node "+id), nil
	}
	if !s.joinings.TryLock() {
		return refusal(protocol.Unavailable, "another change of members is under way; try again"), nil
	}
	defer s.joinings.Unlock()
	nodes, _ := s.askAll(ctx)
	if err := safeToDrop(nodes, id); err != nil {
		return refusal(protocol.Forbidden, err.Error()), nil
	}
	who := actor(ctx)
	if id == s.cfg.Self.GetId() {
		return s.dropSelf(ctx, nodes, req)
	}
	drop := func(ctx context.Context, _ rpc.PeerClient, op rpc.OperatorClient) error {
		res, err := op.DropNode(forwarding(ctx, who), req)
		if err == nil && res.GetCode() != 0 {
			err = errors.New(res.GetMessage())
		}
		return err
	}
	// The node itself first hands over what it leads, then the leaders drop it.
	// Leadership may have moved meanwhile, so it takes up to three rounds.
	for round := range 3 {
		err := s.everywhere(ctx, "", drop, func() error { return s.dropHere(ctx, id) })
		if err != nil {
			return refusal(protocol.Unavailable, err.Error()), nil
		}
		if s.isGone(id) {
			break
		}
		if round == 2 {
			return refusal(protocol.Unavailable, "some shards still count the node in; try again"), nil
		}
		select {
		case <-time.After(statusTimeout / 2):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	return s.change(ctx, &rpc.ControlCommand{Op: &rpc.ControlCommand_RemoveNode{RemoveNode: &rpc.RemoveNode{Id: id}}})
}

// dropSelf has another node drop this one: a node that is out hears nothing of
// its shards any more, not even that it is out.
func (s *Server) dropSelf(ctx context.Context, nodes []*rpc.NodeStatus, req *rpc.RemoveNode) (*rpc.ControlResult, error) {
	s.StepDown(ctx, memberTimeout/2)
	for _, n := range nodes {
		if n.GetNode().GetId() == req.GetId() {
			continue
		}
		conn, err := s.peers.conn(n.GetNode().GetAddress())
		if err != nil {
			return refusal(protocol.Unavailable, err.Error()), nil
		}
		return rpc.NewOperatorClient(conn).DropNode(delegating(ctx, actor(ctx)), req)
	}
	return refusal(protocol.Unavailable, "no other node answers"), nil
}

// dropHere removes a node from the shards that this node leads; if it is this
// node, it hands them over first.
func (s *Server) dropHere(ctx context.Context, id string) error {
	if id == s.cfg.Self.GetId() {
		s.StepDown(ctx, memberTimeout/2)
		return nil
	}
	for _, shard := range s.node.Shards() {
		if !shard.IsLeader() || !slices.ContainsFunc(shard.Peers(), func(p replica.Peer) bool { return p.ID == id }) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		err := shard.RemovePeer(ctx, id)
		cancel()
		if err != nil {
			return fmt.Errorf("remove %s from shard %d: %w", id, shard.ID(), err)
		}
	}
	return nil
}

// isGone says whether all shards, as this node knows them, are without a node.
func (s *Server) isGone(id string) bool {
	for _, shard := range s.node.Shards() {
		if slices.ContainsFunc(shard.Peers(), func(p replica.Peer) bool { return p.ID == id }) {
			return false
		}
	}
	return true
}

// safeToDrop says why a node cannot be taken out: of the voters that remain in
// each shard, a majority must have answered.
func safeToDrop(answered []*rpc.NodeStatus, id string) error {
	alive := map[string]bool{}
	voters := map[uint32][]string{}
	newest := map[uint32]uint64{}
	for _, n := range answered {
		alive[n.GetNode().GetId()] = true
		for _, sh := range n.GetShards() { // the member list of who has heard most
			if _, ok := voters[sh.GetShard()]; !ok || sh.GetAppliedIndex() > newest[sh.GetShard()] {
				voters[sh.GetShard()], newest[sh.GetShard()] = sh.GetVoters(), sh.GetAppliedIndex()
			}
		}
	}
	for shard, all := range voters {
		left, up := 0, 0
		for _, v := range all {
			if v == id {
				continue
			}
			left++
			if alive[v] {
				up++
			}
		}
		switch {
		case left == 0:
			return fmt.Errorf("%s is the last voter of shard %d: add another node first", id, shard)
		case up < left/2+1:
			return fmt.Errorf("without %s only %d of %d voters of shard %d would be up: bring the others back first", id, up, left, shard)
		}
	}
	return nil
}
