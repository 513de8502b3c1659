package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// status describes this node.
func (s *Server) status() *rpc.NodeStatus {
	self := s.cfg.Self
	if n := nodeOf(s.state.now(), self.GetId()); n != nil {
		self = n
	}
	out := &rpc.NodeStatus{Node: self, Cluster: s.state.now().GetCluster(), StartedMs: s.started.UnixMilli()}
	for _, shard := range s.node.Shards() {
		st := shard.Status()
		if shard.ID() != ControlShard {
			shard.View(func(m machine.Machine, _ machine.Reader) { st.Rooms = uint64(m.(*room.Shard).Len()) })
		}
		out.Shards = append(out.Shards, st)
	}
	s.mu.Lock()
	out.Edges = uint64(len(s.edges))
	s.mu.Unlock()
	out.DiskFreeBytes, out.DiskTotalBytes = s.node.Disk()
	if err := s.Ready(); err != nil {
		out.Problem = err.Error()
	}
	return out
}

// Ready says why this node cannot serve edges well, nil when it can.
func (s *Server) Ready() error {
	if s.state.now().GetCluster() == "" {
		return errors.New("not a member of a cluster yet")
	}
	for _, shard := range s.node.Shards() {
		if _, _, ok := shard.Leader(); !ok {
			return errors.New("a shard has no leader: too few core nodes reach each other")
		}
		if !shard.CaughtUp() {
			return errors.New("a shard still applies what its log held at the start")
		}
	}
	return nil
}

// Status describes this node to another one.
func (p peerService) Status(context.Context, *rpc.StatusRequest) (*rpc.NodeStatus, error) {
	return p.s.status(), nil
}

// GetNode describes the node that is asked.
func (o operatorService) GetNode(context.Context, *rpc.StatusRequest) (*rpc.NodeStatus, error) {
	return o.s.status(), nil
}

// ClusterStatus asks every node.
func (o operatorService) ClusterStatus(ctx context.Context, _ *rpc.StatusRequest) (*rpc.ClusterStatusResponse, error) {
	out := &rpc.ClusterStatusResponse{}
	o.s.viewControl(func(c *control.Control) { out.State = c.State() })
	out.Nodes, out.Unreachable = o.s.askAll(ctx)
	return out, nil
}

// askAll asks every node for its status, at once and for a bounded time.
func (s *Server) askAll(ctx context.Context) (nodes []*rpc.NodeStatus, unreachable []string) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var mu sync.Mutex // guards the results
	var wg sync.WaitGroup
	nodes = append(nodes, s.status())
	for _, n := range s.state.now().GetNodes() {
		if n.GetRemoved() || n.GetId() == s.cfg.Self.GetId() {
			continue
		}
		wg.Go(func() {
			st, err := s.askNode(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				unreachable = append(unreachable, n.GetId())
				return
			}
			nodes = append(nodes, st)
		})
	}
	wg.Wait()
	slices.SortFunc(nodes, func(a, b *rpc.NodeStatus) int { return cmp.Compare(a.GetNode().GetId(), b.GetNode().GetId()) })
	slices.Sort(unreachable)
	return nodes, unreachable
}

func (s *Server) askNode(ctx context.Context, n *rpc.Node) (*rpc.NodeStatus, error) {
	conn, err := s.peers.conn(n.GetAddress())
	if err != nil {
		return nil, err
	}
	return rpc.NewPeerClient(conn).Status(ctx, &rpc.StatusRequest{})
}

// ListRooms lists the rooms of all shards by name, from this node's replicas.
func (o operatorService) ListRooms(_ context.Context, req *rpc.ListRoomsRequest) (*rpc.ListRoomsResponse, error) {
	limit := int(min(req.GetLimit(), maxRoomPage))
	if limit == 0 {
		limit = defaultPage
	}
	pattern := req.GetPattern()
	if pattern == "" {
		pattern = "*"
	}
	out := &rpc.ListRoomsResponse{}
	for _, shard := range o.s.node.Shards() {
		if shard.ID() == ControlShard {
			continue
		}
		var infos []room.Info
		shard.View(func(m machine.Machine, _ machine.Reader) {
			infos = m.(*room.Shard).List(req.GetCursor(), limit+1, func(name string) bool { return protocol.MatchPattern(pattern, name) })
		})
		for i := range infos {
			out.Rooms = append(out.Rooms, o.s.detail(shard, &infos[i]))
		}
	}
	slices.SortFunc(out.Rooms, func(a, b *rpc.RoomDetail) int { return cmp.Compare(a.GetRoom(), b.GetRoom()) })
	if len(out.Rooms) > limit {
		out.Rooms = out.Rooms[:limit]
		out.Cursor = out.Rooms[limit-1].GetRoom()
	}
	return out, nil
}

func (s *Server) detail(shard *replica.Shard, info *room.Info) *rpc.RoomDetail {
	survive := s.survives(shard)
	point, recovery := objectives(survive)
	leader, _, _ := shard.Leader()
	return &rpc.RoomDetail{
		Room: info.Room, Shard: shard.ID(), Epoch: info.Epoch, First: info.First, Head: info.Head, Members: info.Members,
		Bytes: info.Bytes, CreatedMs: info.CreatedMS, ActiveMs: info.ActiveMS, Policy: info.Policy, Survive: survive, Leader: leader,
		RecoveryPointMs: uint64(point.Milliseconds()), RecoveryTimeMs: uint64(recovery.Milliseconds()),
	}
}

// ShowRoom describes one room, from this node's replica.
func (o operatorService) ShowRoom(_ context.Context, req *rpc.HeadRequest) (*rpc.RoomDetail, error) {
	shard, info, code := o.s.info(req.GetRoom())
	if code != protocol.OK {
		return &rpc.RoomDetail{Code: uint32(code), Room: req.GetRoom()}, nil
	}
	return o.s.detail(shard, &info), nil
}

// RoomHistory is Core.ReadHistory for operators.
func (o operatorService) RoomHistory(ctx context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	return o.s.history(ctx, req)
}

// RoomMembers is Core.ListMembers for operators.
func (o operatorService) RoomMembers(_ context.Context, req *rpc.MembersRequest) (*rpc.MembersResponse, error) {
	return o.s.members(req), nil
}

// GetPolicies returns the policy table as this node knows it.
func (o operatorService) GetPolicies(context.Context, *rpc.StatusRequest) (*rpc.Policies, error) {
	p := o.s.state.now().GetPolicies()
	if p == nil {
		p = &rpc.Policies{}
	}
	return p, nil
}

// SetPolicies replaces the policy table.
func (o operatorService) SetPolicies(ctx context.Context, req *rpc.PutPolicies) (*rpc.ControlResult, error) {
	return o.s.change(ctx, &rpc.ControlCommand{Op: &rpc.ControlCommand_PutPolicies{PutPolicies: proto.Clone(req).(*rpc.PutPolicies)}})
}

// change proposes a command on behalf of the caller. A refusal is a result, not
// an error.
func (s *Server) change(ctx context.Context, cmd *rpc.ControlCommand) (*rpc.ControlResult, error) {
	cmd.Actor = actor(ctx)
	res, err := s.Propose(ctx, cmd)
	var refusal *protocol.Error
	switch {
	case errors.As(err, &refusal):
		return res, nil
	case err != nil:
		return &rpc.ControlResult{Code: uint32(protocol.Unavailable), Message: err.Error()}, nil
	}
	return res, nil
}

// Audit lists who changed what, of control or of a shard of rooms, from this
// node's replica.
func (o operatorService) Audit(_ context.Context, req *rpc.AuditRequest) (*rpc.AuditResponse, error) {
	limit := int(min(req.GetLimit(), maxRoomPage))
	if limit == 0 {
		limit = defaultPage
	}
	out := &rpc.AuditResponse{}
	if req.GetShard() == ControlShard {
		o.s.viewControl(func(c *control.Control) { out.Records = c.Audit(req.GetAfter(), limit) })
		return out, nil
	}
	shard := o.s.roomShard(req.GetShard())
	if shard == nil {
		return nil, status.Errorf(codes.NotFound, "there is no shard %d", req.GetShard())
	}
	shard.View(func(m machine.Machine, _ machine.Reader) { out.Records = m.(*room.Shard).Audit(req.GetAfter(), limit) })
	return out, nil
}

// TransferLeader hands a shard's leadership over. Nodes that do not lead it
// pass the request on, once.
func (o operatorService) TransferLeader(ctx context.Context, req *rpc.TransferLeaderRequest) (*rpc.ControlResult, error) {
	s := o.s
	shard := s.node.Shard(req.GetShard())
	if shard == nil {
		return refusal(protocol.NotFound, "there is no shard of this number"), nil
	}
	if id, _, ok := shard.Leader(); ok && id == req.GetNode() {
		return refusal(protocol.BadArgument, fmt.Sprintf("%s leads shard %d already", id, req.GetShard())), nil
	}
	if shard.IsLeader() {
		ctx, cancel := context.WithTimeout(ctx, memberTimeout)
		defer cancel()
		if err := shard.Transfer(ctx, req.GetNode()); err != nil {
			return refusal(protocol.Unavailable, err.Error()), nil
		}
		s.log.Info("leadership transferred", "shard", req.GetShard(), "to", req.GetNode(), "actor", actor(ctx))
		return &rpc.ControlResult{}, nil
	}
	id, address, ok := shard.Leader()
	if !ok || id == s.cfg.Self.GetId() || forwarded(ctx) {
		return refusal(protocol.NoLeader, "the shard has no leader at the moment; try again"), nil
	}
	conn, err := s.peers.conn(address)
	if err != nil {
		return refusal(protocol.Unavailable, err.Error()), nil
	}
	return rpc.NewOperatorClient(conn).TransferLeader(forwarding(ctx, actor(ctx)), req)
}

func refusal(code protocol.Code, message string) *rpc.ControlResult {
	return &rpc.ControlResult{Code: uint32(code), Message: message}
}

// StepDown hands over what this node leads, as well as it can in the time: a
// node that leaves in order costs its shards no election.
func (s *Server) StepDown(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, shard := range s.node.Shards() {
		if !shard.IsLeader() || len(shard.Peers()) < 2 {
			continue
		}
		wg.Go(func() {
			if err := shard.Transfer(ctx, ""); err != nil {
				s.log.Warn("leadership could not be handed over", "shard", shard.ID(), "error", err)
			}
		})
	}
	wg.Wait()
}
