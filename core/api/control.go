package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// NewMachine makes the empty state machine of a shard: the replica's Machine.
func NewMachine(shard uint32) machine.Machine {
	if shard == ControlShard {
		return control.New()
	}
	return room.New(shard)
}

// NewCodec says how a shard's entries are written: the replica's Codec.
func NewCodec(shard uint32) replica.Codec {
	if shard == ControlShard {
		return replica.Codec{
			Frame: frameControl,
			Tick: func() []byte {
				return controlSection(&rpc.ControlCommand{Actor: "control", Op: &rpc.ControlCommand_Tick{Tick: &rpc.ControlTick{}}})
			},
		}
	}
	return replica.Codec{
		Frame: room.AppendEntry,
		Tick:  func() []byte { return leaderSection(&rpc.Command{Op: &rpc.Command_Tick{Tick: &rpc.Tick{}}}) },
		Term: func(node string) []byte {
			return leaderSection(&rpc.Command{Op: &rpc.Command_Term{Term: &rpc.Term{Node: node}}})
		},
	}
}

// leaderSection makes a section of the shard's own leader.
func leaderSection(cmd *rpc.Command) []byte {
	return room.AppendSection(nil, 0, 0, 1, rpc.PackCommands(encode(cmd)))
}

// controlSection makes a section of the control shard: one command with its
// field tag in rpc.ControlEntry.
func controlSection(cmd *rpc.ControlCommand) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), encode(cmd))
}

func frameControl(dst []byte, timeMS int64, sections []byte) []byte {
	start := len(dst)
	dst = machine.AppendFrame(dst)
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(timeMS))
	return machine.CloseFrame(append(dst, sections...), start)
}

// encode encodes a message made here.
func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic("api: a message of ours does not encode: " + err.Error())
	}
	return b
}

// State is the newest control state that this node has applied; shared, never
// changed. The channel is closed when there is a newer one.
func (s *Server) State() (*rpc.ControlState, <-chan struct{}) { return s.state.get() }

// viewControl calls f with the control state machine.
func (s *Server) viewControl(f func(*control.Control)) {
	s.node.Shard(ControlShard).View(func(m machine.Machine, _ machine.Reader) { f(m.(*control.Control)) })
}

func (s *Server) readControl() {
	var next *rpc.ControlState
	s.viewControl(func(c *control.Control) { next = c.State() })
	if !s.state.put(next) {
		return
	}
	addresses := map[string]bool{}
	for _, n := range next.GetNodes() {
		if !n.GetRemoved() {
			addresses[n.GetAddress()] = true
		}
	}
	s.peers.keep(addresses)
}

// followControl publishes the control state whenever it has changed.
func (s *Server) followControl() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.controlMoved:
			s.readControl()
		}
	}
}

// Propose has control's leader, wherever it is, take a command, and waits until
// it is committed. It goes on trying until ctx ends while there is no leader. An
// error that is not a *protocol.Error leaves the outcome open.
func (s *Server) Propose(ctx context.Context, cmd *rpc.ControlCommand) (*rpc.ControlResult, error) {
	shard := s.node.Shard(ControlShard)
	for {
		moved := shard.LeaderChanges()
		res, err := s.proposeOnce(ctx, shard, cmd)
		code := protocol.Code(res.GetCode())
		switch {
		case err == nil && code == protocol.OK:
			return res, nil
		case err == nil && code != protocol.NotLeader && code != protocol.NoLeader:
			return res, &protocol.Error{Code: code, Message: res.GetMessage()}
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-moved:
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if err == nil {
				err = errors.New("control has no leader")
			}
			return nil, fmt.Errorf("propose to control: %w", err)
		}
		pause.Stop()
		if err != nil && status.Code(err) != codes.Unavailable {
			return nil, fmt.Errorf("propose to control: %w", err)
		}
	}
}

func (s *Server) proposeOnce(ctx context.Context, shard *replica.Shard, cmd *rpc.ControlCommand) (*rpc.ControlResult, error) {
	id, address, ok := shard.Leader()
	switch {
	case shard.IsLeader():
		return s.proposeHere(ctx, shard, cmd)
	case !ok || id == s.cfg.Self.GetId():
		return &rpc.ControlResult{Code: uint32(protocol.NoLeader)}, nil
	}
	conn, err := s.peers.conn(address)
	if err != nil {
		return nil, err
	}
	return rpc.NewPeerClient(conn).Propose(ctx, cmd)
}

// proposeHere submits a command on this node.
func (s *Server) proposeHere(ctx context.Context, shard *replica.Shard, cmd *rpc.ControlCommand) (*rpc.ControlResult, error) {
	type outcome struct {
		res *rpc.ControlResult
		err error
	}
	done := make(chan outcome, 1)
	shard.Submit(controlSection(cmd), func(i int, effects any, err error) {
		switch {
		case errors.Is(err, replica.ErrNotLeader):
			done <- outcome{res: &rpc.ControlResult{Code: uint32(protocol.NotLeader)}}
		case errors.Is(err, replica.ErrDiskFull):
			done <- outcome{res: &rpc.ControlResult{Code: uint32(protocol.DiskFull), Message: "the leader's disk is nearly full"}}
		case err != nil:
			done <- outcome{err: err}
		default:
			done <- outcome{res: effects.(*control.Effects).Results[i]}
		}
	})
	select {
	case o := <-done:
		return o.res, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Propose answers for this node only: control's leader takes the command.
func (p peerService) Propose(ctx context.Context, cmd *rpc.ControlCommand) (*rpc.ControlResult, error) {
	shard := p.s.node.Shard(ControlShard)
	if !shard.IsLeader() {
		return &rpc.ControlResult{Code: uint32(protocol.NotLeader)}, nil
	}
	res, err := p.s.proposeHere(ctx, shard, cmd)
	if err != nil {
		return nil, status.Error(codes.Aborted, err.Error())
	}
	return res, nil
}
