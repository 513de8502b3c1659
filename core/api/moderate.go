package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// ModerateRoom answers for this node only, as the leader of the room's shard.
func (p peerService) ModerateRoom(ctx context.Context, m *rpc.Moderate) (*rpc.Result, error) {
	shard := p.s.shardOf(m.GetRoom())
	if shard == nil {
		return &rpc.Result{Code: uint32(protocol.Unavailable)}, nil
	}
	res, err := moderateHere(ctx, shard, m)
	if err != nil {
		return nil, status.Error(codes.Aborted, err.Error())
	}
	return res, nil
}

// ModerateRoom has the leader of the room's shard, wherever it is, apply a
// moderation with the rank of an operator. A refusal is a result, not an error.
// While there is no leader it goes on trying: to do it twice does no harm.
func (o operatorService) ModerateRoom(ctx context.Context, req *rpc.Moderate) (*rpc.ModerateResponse, error) {
	if err := rpc.CheckModerate(req); err != nil {
		return moderated(&rpc.Result{Code: uint32(protocol.BadArgument)}, err.Error()), nil
	}
	m := proto.Clone(req).(*rpc.Moderate)
	m.Rank, m.Actor, m.Name = uint32(rpc.Rank_OPERATOR), actorName(ctx), ""
	shard := o.s.shardOf(m.GetRoom())
	if shard == nil {
		return moderated(&rpc.Result{Code: uint32(protocol.Unavailable)}, "this node does not know the cluster's placements yet; try another"), nil
	}
	for {
		moved := shard.LeaderChanges()
		res, err := o.s.moderateOnce(ctx, shard, m)
		code := protocol.Code(res.GetCode())
		switch {
		case err == nil && code != protocol.NotLeader && code != protocol.NoLeader:
			return moderated(res, whyNot(code, m)), nil
		case err != nil && status.Code(err) != codes.Unavailable && status.Code(err) != codes.Aborted:
			return moderated(&rpc.Result{Code: uint32(protocol.Unavailable)}, "it is not known whether this was done: "+err.Error()), nil
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-moved:
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return moderated(&rpc.Result{Code: uint32(protocol.Unavailable)}, "the room's shard has no leader that answers; try again"), nil
		}
	}
}

func moderated(res *rpc.Result, message string) *rpc.ModerateResponse {
	return &rpc.ModerateResponse{Result: res, Message: message}
}

// actorName is who asked, as members of the room may see it: the name alone.
func actorName(ctx context.Context) string {
	id := actor(ctx)
	return id[strings.LastIndexByte(id, '/')+1:]
}

func (s *Server) moderateOnce(ctx context.Context, shard *replica.Shard, m *rpc.Moderate) (*rpc.Result, error) {
	if shard.IsLeader() {
		return moderateHere(ctx, shard, m)
	}
	id, address, ok := shard.Leader()
	if !ok || id == s.cfg.Self.GetId() {
		return &rpc.Result{Code: uint32(protocol.NoLeader)}, nil
	}
	conn, err := s.peers.conn(address)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return rpc.NewPeerClient(conn).ModerateRoom(ctx, m)
}

// moderateHere submits a moderation on this node and waits until it is applied.
// After an error the outcome is not known.
func moderateHere(ctx context.Context, shard *replica.Shard, m *rpc.Moderate) (*rpc.Result, error) {
	type outcome struct {
		res *rpc.Result
		err error
	}
	done := make(chan outcome, 1)
	shard.Submit(leaderSection(&rpc.Command{Op: &rpc.Command_Moderate{Moderate: m}}), func(i int, effects any, err error) {
		switch {
		case errors.Is(err, replica.ErrNotLeader):
			done <- outcome{res: &rpc.Result{Code: uint32(protocol.NotLeader)}}
		case errors.Is(err, replica.ErrDiskFull):
			done <- outcome{res: &rpc.Result{Code: uint32(protocol.DiskFull)}}
		case errors.Is(err, replica.ErrOverloaded):
			done <- outcome{res: &rpc.Result{Code: uint32(protocol.Overloaded)}}
		case err != nil:
			done <- outcome{err: status.Error(codes.Aborted, err.Error())}
		default:
			done <- outcome{res: effects.(*room.Effects).Sections[i].Results[0]}
		}
	})
	select {
	case o := <-done:
		return o.res, o.err
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// whyNot says to an operator what a room's refusal means.
func whyNot(code protocol.Code, m *rpc.Moderate) string {
	switch code { //nolint:exhaustive // a room gives these; others speak for themselves
	case protocol.OK:
		return ""
	case protocol.NotFound:
		return "there is no such room at the moment"
	case protocol.Trimmed:
		return "history does not hold this message any more"
	case protocol.Future:
		return "there is no message of this seq yet"
	case protocol.BadArgument:
		return "this message takes back another one; it cannot be taken back itself"
	case protocol.Expired:
		return "it came after its deadline; nothing was done"
	case protocol.KeysFull:
		return "the room takes no message at the moment; try again in a while"
	case protocol.Overloaded:
		if m.GetAction() == "retract" {
			return "the room's shard takes no more at the moment; try again"
		}
		return "the room or its shard has as many sanctions as it can keep, or takes no more at the moment: lift some, or try again"
	case protocol.DiskFull:
		return "the leader's disk is nearly full"
	}
	return "refused: " + code.Name()
}

// RoomModeration is what is decided about a room's name, from this node's
// replica.
func (o operatorService) RoomModeration(_ context.Context, req *rpc.HeadRequest) (*rpc.Moderation, error) {
	if _, err := protocol.CanonicalRoom(req.GetRoom()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	shard := o.s.shardOf(req.GetRoom())
	if shard == nil {
		return nil, status.Error(codes.Unavailable, "this node does not know the cluster's placements yet; try another")
	}
	var out *rpc.Moderation
	shard.View(func(m machine.Machine, _ machine.Reader) { out = m.(*room.Shard).Moderation(req.GetRoom()) })
	if out == nil {
		out = &rpc.Moderation{}
	}
	return out, nil
}

// banned says whether a reader is banned from a room; an empty user is nobody
// in particular.
func banned(info *room.Info, user string, rank uint32) bool {
	code, _ := room.Sanctioned(info.Moderation, user, rank, time.Now().UnixMilli())
	return user != "" && code == protocol.Banned
}
