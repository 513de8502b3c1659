package api

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// info reads a room as this replica has it.
func (s *Server) info(name string) (shard *replica.Shard, info room.Info, code protocol.Code) {
	if _, err := protocol.CanonicalRoom(name); err != nil {
		return nil, info, protocol.BadRoom
	}
	shard = s.shardOf(name)
	if shard == nil {
		return nil, info, protocol.Unavailable
	}
	ok := false
	shard.View(func(m machine.Machine, _ machine.Reader) { info, ok = m.(*room.Shard).Info(name) })
	if !ok {
		return shard, info, protocol.NotFound
	}
	return shard, info, protocol.OK
}

// readHistory reads a page from a snapshot of the store, when one of tokens is
// free.
func (s *Server) readHistory(ctx context.Context, tokens chan struct{}, shard *replica.Shard, info room.Info, from uint64, limit, maxBytes int, reverse bool) (room.Page, *protocol.Error, error) {
	select {
	case tokens <- struct{}{}:
		defer func() { <-tokens }()
	case <-ctx.Done():
		return room.Page{}, nil, status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return room.Page{}, nil, errClosing
	}
	reader, closer := shard.Reader()
	page, perr := room.History(reader, info, from, limit, maxBytes, reverse)
	if err := closer.Close(); err != nil {
		return page, nil, status.Error(codes.Internal, err.Error())
	}
	return page, perr, nil
}

// ReadHistory reads a page from this node's own replica.
func (c coreService) ReadHistory(ctx context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	return c.s.history(ctx, req)
}

func (s *Server) history(ctx context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	shard, info, code := s.info(req.GetRoom())
	if code == protocol.OK && req.GetEpoch() != 0 && req.GetEpoch() != info.Epoch {
		code = protocol.EpochChanged
	}
	if code == protocol.OK && banned(&info, req.GetUser(), req.GetRank()) {
		return &rpc.HistoryPage{Code: uint32(protocol.Banned), Crc: protocol.CRC(nil)}, nil
	}
	out := &rpc.HistoryPage{Code: uint32(code), Epoch: info.Epoch, First: info.First, Head: info.Head, Crc: protocol.CRC(nil)}
	if code != protocol.OK {
		return out, nil
	}
	limit := int(min(req.GetLimit(), protocol.MaxHistory))
	if limit == 0 {
		limit = defaultPage
	}
	maxBytes := int(min(req.GetMaxBytes(), maxPageBytes))
	if maxBytes == 0 {
		maxBytes = maxPageBytes
	}
	page, perr, err := s.readHistory(ctx, s.historyReads, shard, info, req.GetFrom(), limit, maxBytes, req.GetReverse())
	if err != nil {
		return nil, err
	}
	if perr != nil {
		out.Code, out.First, out.Head = uint32(perr.Code), max(perr.First, info.First), info.Head
		return out, nil
	}
	out.Start, out.Count, out.Records, out.Crc, out.More = page.Start, page.Count, page.Records, page.CRC, page.More
	return out, nil
}

// ListMembers reads a page from this node's own replica.
func (c coreService) ListMembers(_ context.Context, req *rpc.MembersRequest) (*rpc.MembersResponse, error) {
	return c.s.members(req), nil
}

func (s *Server) members(req *rpc.MembersRequest) *rpc.MembersResponse {
	shard, info, code := s.info(req.GetRoom())
	if code == protocol.OK && banned(&info, req.GetUser(), req.GetRank()) {
		return &rpc.MembersResponse{Code: uint32(protocol.Banned)}
	}
	out := &rpc.MembersResponse{Code: uint32(code), Epoch: info.Epoch}
	if code != protocol.OK {
		return out
	}
	limit := int(min(req.GetLimit(), protocol.MaxMembers))
	if limit == 0 {
		limit = defaultPage
	}
	found := false
	shard.View(func(m machine.Machine, _ machine.Reader) {
		out.Users, out.Cursor, out.Total, out.CountsOnly, found = m.(*room.Shard).Members(req.GetRoom(), req.GetCursor(), limit)
	})
	if !found {
		out.Code = uint32(protocol.NotFound)
	}
	return out
}

// Head asks the room's leader, here or on another node.
func (c coreService) Head(ctx context.Context, req *rpc.HeadRequest) (*rpc.HeadResponse, error) {
	return c.s.head(ctx, req)
}

func (s *Server) head(ctx context.Context, req *rpc.HeadRequest) (*rpc.HeadResponse, error) {
	if _, err := protocol.CanonicalRoom(req.GetRoom()); err != nil {
		return &rpc.HeadResponse{Code: uint32(protocol.BadRoom)}, nil
	}
	shard := s.shardOf(req.GetRoom())
	if shard == nil {
		return &rpc.HeadResponse{Code: uint32(protocol.Unavailable)}, nil
	}
	if shard.IsLeader() {
		return s.headHere(ctx, shard, req)
	}
	id, address, ok := shard.Leader()
	if !ok || id == s.cfg.Self.GetId() {
		return &rpc.HeadResponse{Code: uint32(protocol.NoLeader)}, nil
	}
	conn, err := s.peers.conn(address)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return rpc.NewPeerClient(conn).Head(ctx, req)
}

func (s *Server) headHere(ctx context.Context, shard *replica.Shard, req *rpc.HeadRequest) (*rpc.HeadResponse, error) {
	switch err := shard.Verify(ctx); {
	case errors.Is(err, replica.ErrNotLeader):
		return &rpc.HeadResponse{Code: uint32(protocol.NotLeader)}, nil
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	_, info, code := s.info(req.GetRoom())
	return &rpc.HeadResponse{Code: uint32(code), Epoch: info.Epoch, Head: info.Head, First: info.First}, nil
}

// Head answers for this node only, as the leader of the room's shard.
func (p peerService) Head(ctx context.Context, req *rpc.HeadRequest) (*rpc.HeadResponse, error) {
	shard := p.s.shardOf(req.GetRoom())
	if shard == nil {
		return &rpc.HeadResponse{Code: uint32(protocol.Unavailable)}, nil
	}
	return p.s.headHere(ctx, shard, req)
}
