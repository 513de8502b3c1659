package session

import (
	"context"
	"time"

	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// pageBytes bounds the records of a history page: in JSON, where a byte may
// become six, it stays below protocol.MaxServerFrame.
const pageBytes = 128 << 10

// budgeted starts a read of core for this session, if the user's budget and
// the edge's have room for it.
func (s *Session) budgeted(id uint64, read func(ctx context.Context)) {
	if ok, wait := s.srv.pages.Allow(s.who().User, time.Now()); !ok {
		s.refuse(id, &protocol.Error{Code: protocol.RateLimited, Message: "you read too many pages", RetryAfter: ceilMS(wait)})
		return
	}
	select {
	case s.srv.reading <- struct{}{}:
	default:
		s.refuse(id, &protocol.Error{Code: protocol.Overloaded, Message: "too many pages are being read; try again", RetryAfter: 500})
		return
	}
	s.srv.done.Go(func() {
		defer func() { <-s.srv.reading }()
		defer s.guard()
		ctx, cancel := context.WithTimeout(s.srv.ctx, readTimeout)
		defer cancel()
		read(ctx)
	})
}

func (s *Session) history(id uint64, h *wire.History) {
	may, err := s.may(verbHistory, h.GetRoom())
	if err != nil {
		s.refuse(id, err)
		return
	}
	user := s.who().User
	req := &rpc.HistoryRequest{
		Room: h.GetRoom(), From: h.GetFrom(), Limit: h.GetLimit(), Reverse: h.GetReverse(), MaxBytes: pageBytes,
		User: user, Rank: uint32(may.rank),
	}
	if req.Limit > protocol.MaxHistory {
		s.refuse(id, protocol.Errorf(protocol.BadArgument, "limit must be at most %d", protocol.MaxHistory))
		return
	}
	if req.Limit == 0 {
		req.Limit = protocol.MaxHistory
	}
	if h.GetEpoch() != "" {
		epoch, err := protocol.ParseEpoch(h.GetEpoch())
		if err != nil {
			s.refuse(id, asError(err))
			return
		}
		req.Epoch = epoch
	}
	s.budgeted(id, func(ctx context.Context) {
		page, err := s.srv.core.ReadHistory(ctx, req)
		if err != nil {
			s.refuse(id, asError(err))
			return
		}
		if code := protocol.Code(page.GetCode()); code != protocol.OK {
			s.refuse(id, pageError(code, page))
			return
		}
		records, err := hub.View(page.GetRecords(), user, may.moderates())
		if err != nil {
			s.refuse(id, damagedPage())
			return
		}
		s.sendPage(id, &wire.Messages{
			Room: req.GetRoom(), Epoch: protocol.FormatEpoch(page.GetEpoch()), First: page.GetFirst(), Head: page.GetHead(), More: page.GetMore(),
		}, records)
	})
}

func damagedPage() *protocol.Error {
	return protocol.Errorf(protocol.Corrupt, "the page is damaged; try again")
}

// sendPage sends a page of records.
func (s *Session) sendPage(id uint64, reply *wire.Messages, records []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != connected {
		return
	}
	out, err := protocol.AppendMessages(s.out, s.format.Encoding(), id, reply, records)
	if err != nil {
		out = protocol.AppendError(s.out, s.format.Encoding(), id, damagedPage())
	}
	s.out = out
	s.flush()
}

func pageError(code protocol.Code, page *rpc.HistoryPage) *protocol.Error {
	e := &protocol.Error{Code: code, First: page.GetFirst(), Head: page.GetHead()}
	switch code {
	case protocol.NotFound:
		e.Message = "there is no such room at the moment"
	case protocol.Trimmed:
		e.Message = "history no longer holds that; first is the oldest it holds"
	case protocol.Future:
		e.Message = "nothing has been published there yet"
	case protocol.Banned:
		e.Message = "you are banned from this room"
	case protocol.EpochChanged:
		e.Message, e.Epoch = "the room was made anew since", protocol.FormatEpoch(page.GetEpoch())
	default:
		e.Message, e.RetryAfter = "history cannot be read at the moment", 1000
		if code >= 300 {
			e.Code = protocol.Unavailable
		}
	}
	return e
}

func (s *Session) members(id uint64, m *wire.Members) {
	may, err := s.may(verbMembers, m.GetRoom())
	if err != nil {
		s.refuse(id, err)
		return
	}
	req := &rpc.MembersRequest{Room: m.GetRoom(), Cursor: m.GetCursor(), Limit: m.GetLimit(), User: s.who().User, Rank: uint32(may.rank)}
	if req.Limit > protocol.MaxMembers {
		s.refuse(id, protocol.Errorf(protocol.BadArgument, "limit must be at most %d", protocol.MaxMembers))
		return
	}
	if req.Limit == 0 {
		req.Limit = protocol.MaxMembers
	}
	s.budgeted(id, func(ctx context.Context) {
		page, err := s.srv.core.ListMembers(ctx, req)
		if err != nil {
			s.refuse(id, asError(err))
			return
		}
		if code := protocol.Code(page.GetCode()); code != protocol.OK {
			s.refuse(id, pageError(code, &rpc.HistoryPage{Epoch: page.GetEpoch()}))
			return
		}
		reply := &wire.MembersPage{Room: req.GetRoom(), Cursor: page.GetCursor(), Total: page.GetTotal(), CountsOnly: page.GetCountsOnly()}
		for _, u := range page.GetUsers() {
			reply.Members = append(reply.Members, &wire.Member{User: u.GetUser(), Name: u.GetName(), Sessions: u.GetSessions()})
		}
		s.reply(&wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Members{Members: reply}})
	})
}
