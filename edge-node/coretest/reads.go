package coretest

import (
	"context"
	"sort"
	"sync"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// blockRecords bounds a block, so that tails are made of several.
const blockRecords = 64

// subscription is a cursor of a feed.
type subscription struct {
	told    bool
	epoch   uint64
	at      uint64
	ask     *rpc.Subscribe
	members uint64
	edition int
	decided *rpc.Moderation
}

// Feed implements rpc.CoreServer.
func (c *Core) Feed(stream grpc.BidiStreamingServer[rpc.FeedRequest, rpc.FeedResponse]) error {
	var mu sync.Mutex // guards subs
	subs := map[string]*subscription{}
	asked := make(chan struct{}, 1)
	broken := make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				broken <- err
				return
			}
			mu.Lock()
			if s := m.GetSubscribe(); s != nil {
				subs[s.GetRoom()] = &subscription{ask: s}
			}
			if u := m.GetUnsubscribe(); u != nil {
				delete(subs, u.GetRoom())
			}
			mu.Unlock()
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}()
	for {
		c.mu.Lock()
		changed := c.changed
		var out []*rpc.FeedResponse
		mu.Lock()
		for name, s := range subs {
			if r := c.rooms[name]; r != nil && !c.lagging {
				out = append(out, c.feed(name, r, s)...)
			}
		}
		mu.Unlock()
		c.mu.Unlock()
		for _, m := range out {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if len(out) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-asked:
		case err := <-broken:
			return err
		}
	}
}

// feed says what a subscription has not heard. Caller holds mu.
func (c *Core) feed(name string, r *room, s *subscription) (out []*rpc.FeedResponse) {
	if !s.told || s.epoch != r.epoch {
		again := !s.told && s.ask.GetEpoch() == r.epoch
		s.told, s.epoch = true, r.epoch
		s.at = r.head - min(r.head, uint64(s.ask.GetRecent()))
		if again {
			s.at = s.ask.GetAfter()
		}
		s.at = max(s.at, r.first-1)
		s.members, s.edition, s.decided = uint64(r.sessions), c.edition, c.moderations[name]
		out = append(out, &rpc.FeedResponse{Frame: &rpc.FeedResponse_Subscribed{Subscribed: &rpc.Subscribed{
			Room: name, Epoch: r.epoch, First: r.first, Head: r.head, Members: s.members, Policy: c.policyOf(name), Survive: "zone", Start: s.at,
			Moderation: s.decided,
		}}})
	}
	if s.at+1 < r.first {
		out = append(out, &rpc.FeedResponse{Frame: &rpc.FeedResponse_Gap{Gap: &rpc.FeedGap{
			Room: name, Epoch: r.epoch, First: s.at + 1, Last: r.first - 1, Reason: "trimmed",
		}}})
		s.at = r.first - 1
	}
	if first, count, records := r.after(s.at, blockRecords, 64<<10); count > 0 {
		s.at = first + uint64(count) - 1
		out = append(out, &rpc.FeedResponse{Frame: &rpc.FeedResponse_Block{Block: &rpc.Block{
			Room: name, Epoch: r.epoch, First: first, Count: uint32(count), Records: records, Crc: protocol.CRC(records),
		}}})
	}
	if s.members != uint64(r.sessions) || s.edition != c.edition || s.decided != c.moderations[name] {
		update := &rpc.RoomUpdate{Room: name, Epoch: r.epoch, Members: uint64(r.sessions)}
		if s.edition != c.edition {
			update.Policy = c.policyOf(name)
		}
		if s.decided != c.moderations[name] {
			s.decided = c.moderations[name]
			update.Moderation = s.decided
		}
		s.members, s.edition = uint64(r.sessions), c.edition
		out = append(out, &rpc.FeedResponse{Frame: &rpc.FeedResponse_Update{Update: update}})
	}
	return out
}

// ReadHistory implements rpc.CoreServer. It reads forward only.
func (c *Core) ReadHistory(_ context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	r := c.rooms[req.GetRoom()]
	if r == nil {
		return &rpc.HistoryPage{Code: uint32(protocol.NotFound)}, nil
	}
	if code := c.barred(req.GetRoom(), req.GetUser(), req.GetRank(), protocol.Ban); code != protocol.OK {
		return &rpc.HistoryPage{Code: uint32(code)}, nil
	}
	page := &rpc.HistoryPage{Epoch: r.epoch, First: r.first, Head: r.head}
	from := max(req.GetFrom(), 1)
	switch {
	case req.GetEpoch() != 0 && req.GetEpoch() != r.epoch:
		page.Code = uint32(protocol.EpochChanged)
	case from < r.first && req.GetFrom() > 0:
		page.Code = uint32(protocol.Trimmed)
	case from > r.head:
		page.Code = uint32(protocol.Future)
	default:
		first, count, records := r.after(from-1, int(req.GetLimit()), int(req.GetMaxBytes()))
		page.Start, page.Count, page.Records, page.Crc = first, uint32(count), records, protocol.CRC(records)
		page.More = first+uint64(count) <= r.head
	}
	return page, nil
}

// ListMembers implements rpc.CoreServer, on one page.
func (c *Core) ListMembers(_ context.Context, req *rpc.MembersRequest) (*rpc.MembersResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rooms[req.GetRoom()]
	if r == nil {
		return &rpc.MembersResponse{Code: uint32(protocol.NotFound)}, nil
	}
	if code := c.barred(req.GetRoom(), req.GetUser(), req.GetRank(), protocol.Ban); code != protocol.OK {
		return &rpc.MembersResponse{Code: uint32(code)}, nil
	}
	page := &rpc.MembersResponse{Epoch: r.epoch, Total: uint64(r.sessions)}
	for _, u := range r.users {
		page.Users = append(page.Users, u)
	}
	sort.Slice(page.Users, func(i, j int) bool { return page.Users[i].GetUser() < page.Users[j].GetUser() })
	return page, nil
}

// Head implements rpc.CoreServer.
func (c *Core) Head(_ context.Context, req *rpc.HeadRequest) (*rpc.HeadResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads++
	r := c.rooms[req.GetRoom()]
	if r == nil {
		return &rpc.HeadResponse{Code: uint32(protocol.NotFound)}, nil
	}
	return &rpc.HeadResponse{Epoch: r.epoch, Head: r.head, First: r.first}, nil
}
