package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Member says whether this node is in the control state and in every shard, as
// it describes itself.
func (s *Server) Member() bool {
	self := s.cfg.Self
	if !proto.Equal(nodeOf(s.state.now(), self.GetId()), self) {
		return false
	}
	for _, shard := range s.node.Shards() {
		if !slices.ContainsFunc(shard.Peers(), func(p replica.Peer) bool { return isPeer(p, self) }) {
			return false
		}
	}
	return true
}

// Join makes this node a member of its cluster, asking control's leader, which
// is looked for at the seeds if this node does not know it. cluster is the one
// that this node's data belong to, "" for none yet.
func (s *Server) Join(ctx context.Context, cluster string, seeds []string) error {
	shard := s.node.Shard(ControlShard)
	if shard.IsLeader() {
		return s.join(ctx, s.cfg.Self, s.cfg.Credentials.Identity().String())
	}
	ask := slices.Clone(seeds)
	if _, leader, ok := shard.Leader(); ok && leader != s.cfg.Self.GetAddress() {
		ask = slices.Insert(ask, 0, leader)
	}
	var errs []error
	for i := 0; i < len(ask) && i < maxSeeds; i++ {
		leader, err := s.joinAt(ctx, ask[i], cluster)
		if err == nil && leader == "" {
			return nil
		}
		if leader != "" && !slices.Contains(ask, leader) {
			ask = slices.Insert(ask, i+1, leader)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// joinAt asks one node; it may name the leader to ask instead.
func (s *Server) joinAt(ctx context.Context, address, cluster string) (leader string, err error) {
	conn, err := s.peers.conn(address)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	st, err := rpc.NewOperatorClient(conn).GetNode(ctx, &rpc.StatusRequest{})
	switch {
	case err != nil:
		return "", fmt.Errorf("ask %s to join: %w", address, err)
	case st.GetCluster() == "":
		return "", fmt.Errorf("%s is not a member of a cluster itself yet", address)
	case cluster != "" && st.GetCluster() != cluster:
		return "", fmt.Errorf("%s is of cluster %q, not %q: %w", address, st.GetCluster(), cluster, replica.ErrOtherCluster)
	}
	res, err := rpc.NewPeerClient(conn).Join(ctx, &rpc.JoinRequest{Node: s.cfg.Self})
	switch {
	case err != nil:
		return "", fmt.Errorf("join at %s: %w", address, err)
	case protocol.Code(res.GetCode()) == protocol.NotLeader:
		return res.GetLeader(), fmt.Errorf("join at %s: %s", address, res.GetMessage())
	case res.GetCode() != 0:
		return "", fmt.Errorf("join at %s: %w", address, &protocol.Error{Code: protocol.Code(res.GetCode()), Message: res.GetMessage()})
	}
	return "", nil
}

// Probe asks one of the seeds for the state of its cluster.
func Probe(ctx context.Context, seeds []string, creds *pki.Credentials, dial func(context.Context, string) (net.Conn, error)) (*rpc.ControlState, error) {
	p := newPeers(creds, dial)
	defer p.close()
	var errs []error
	for _, address := range seeds {
		conn, err := p.conn(address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		res, err := rpc.NewOperatorClient(conn).ClusterStatus(ctx, &rpc.StatusRequest{})
		cancel()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("ask %s: %w", address, err))
		case res.GetState().GetCluster() == "":
			errs = append(errs, fmt.Errorf("%s is not a member of a cluster yet", address))
		default:
			return res.GetState(), nil
		}
	}
	return nil, errors.Join(errs...)
}

// Init makes the cluster, once: as the first node, when it leads control.
func (s *Server) Init(ctx context.Context, init *rpc.Init) error {
	_, err := s.Propose(ctx, &rpc.ControlCommand{
		Actor: s.cfg.Credentials.Identity().String(), Op: &rpc.ControlCommand_Init{Init: init},
	})
	return err
}
