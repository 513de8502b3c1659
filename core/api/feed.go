package api

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A cursor is one subscription: how far one edge has come in one room.
type cursor struct {
	// Set when made, never changed.
	feed  *feed
	hub   *hub
	shard *replica.Shard
	room  string

	// Owned by the feed's sender.
	ask       rpc.Subscribe // as the edge put it
	answered  bool          // with Subscribed, for epoch
	early     bool          // asked before there was a room: all of it is new
	updated   time.Time     // when the last update was sent
	heldUntil time.Time     // an update waits until then
	corrupt   int           // reads in a row that found damage

	// Guarded by hub.mu; written by the sender (epoch, next) and the hub (update).
	epoch  uint64
	next   uint64 // the seq to be sent next
	update update

	// Guarded by feed.mu.
	dirty bool
	gone  bool // unsubscribed, or replaced by a newer subscription
}

// A feed is one edge's subscriptions. The Feed call owns it: one goroutine
// reads subscriptions, the handler sends. A slow edge blocks the sender; its
// cursors stay where they are, and nobody else notices.
type feed struct {
	s    *Server
	wake chan struct{} // has room for one: something is dirty

	mu      sync.Mutex // guards the fields below and the cursors' part
	cursors map[string]*cursor
	dirty   []*cursor
}

// mark has the sender look at a cursor.
func (f *feed) mark(c *cursor) {
	f.mu.Lock()
	fresh := !c.dirty && !c.gone
	if fresh {
		c.dirty = true
		f.dirty = append(f.dirty, c)
	}
	f.mu.Unlock()
	if fresh {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Feed serves one edge's subscriptions until the stream ends.
func (c coreService) Feed(stream rpc.Core_FeedServer) error {
	s := c.s
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	f := &feed{s: s, wake: make(chan struct{}, 1), cursors: map[string]*cursor{}}
	greeted := make(chan struct{})
	broken := make(chan error, 1)
	s.wg.Go(func() { // ends when the handler has returned, if not before
		broken <- f.read(stream.Recv, greeted)
		f.close()
	})
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case <-greeted:
	case err := <-broken:
		return ended(err)
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "no hello")
	case <-s.ctx.Done():
		return errClosing
	}
	s.metrics.feeds.Inc()
	defer s.metrics.feeds.Dec()
	return f.send(ctx, stream, broken)
}

// read owns the receiving side.
func (f *feed) read(recv func() (*rpc.FeedRequest, error), greeted chan<- struct{}) error {
	hello := false
	for {
		m, err := recv()
		if err != nil {
			return err
		}
		switch r := m.GetFrame().(type) {
		case *rpc.FeedRequest_Hello:
			if hello || r.Hello.GetIncarnation() == 0 {
				return status.Error(codes.InvalidArgument, "one hello, with the edge's incarnation")
			}
			hello = true
			close(greeted)
		case *rpc.FeedRequest_Subscribe:
			if !hello {
				return status.Error(codes.FailedPrecondition, "hello must come first")
			}
			if err := f.subscribe(r.Subscribe); err != nil {
				return err
			}
		case *rpc.FeedRequest_Unsubscribe:
			f.unsubscribe(r.Unsubscribe.GetRoom())
		default:
			return status.Error(codes.InvalidArgument, "a frame that this version does not know")
		}
	}
}

// subscribe makes a cursor; one that the room had already is replaced.
func (f *feed) subscribe(ask *rpc.Subscribe) error {
	name := ask.GetRoom()
	if _, err := protocol.CanonicalRoom(name); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	shard := f.s.shardOf(name)
	if shard == nil {
		return status.Error(codes.Unavailable, "this node does not know the cluster's placements yet; try another")
	}
	c := &cursor{feed: f, shard: shard, hub: f.s.hubs[shard.ID()], room: name}
	c.ask.Epoch, c.ask.After, c.ask.Recent = ask.GetEpoch(), ask.GetAfter(), min(ask.GetRecent(), protocol.MaxRecent)
	f.unsubscribe(name)
	f.mu.Lock()
	full := len(f.cursors) >= maxSubscriptions
	if !full {
		f.cursors[name] = c
	}
	f.mu.Unlock()
	if full {
		return status.Errorf(codes.ResourceExhausted, "%d rooms are the limit of one feed", maxSubscriptions)
	}
	c.hub.watch(c)
	f.s.metrics.subscriptions.Inc()
	f.mark(c)
	return nil
}

func (f *feed) unsubscribe(name string) {
	f.mu.Lock()
	c := f.cursors[name]
	if c != nil {
		delete(f.cursors, name)
		c.gone = true
	}
	f.mu.Unlock()
	if c != nil {
		c.hub.unwatch(c)
		f.s.metrics.subscriptions.Dec()
	}
}

// close removes what the edge left behind; the reader has ended.
func (f *feed) close() {
	f.mu.Lock()
	names := make([]string, 0, len(f.cursors))
	for name := range f.cursors {
		names = append(names, name)
	}
	f.mu.Unlock()
	for _, name := range names {
		f.unsubscribe(name)
	}
}

// take returns the dirty cursors, in the order in which they became so.
func (f *feed) take(empty []*cursor) []*cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.dirty
	f.dirty = empty[:0]
	kept := taken[:0]
	for _, c := range taken {
		c.dirty = false
		if !c.gone {
			kept = append(kept, c)
		}
	}
	return kept
}

// send owns the sending side: it walks the dirty cursors, each for one round.
func (f *feed) send(ctx context.Context, stream rpc.Core_FeedServer, broken <-chan error) error {
	w := &feedWriter{s: f.s, stream: stream}
	var round []*cursor
	var later []*cursor // whose update waits; by time, since all wait equally long
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		for len(later) > 0 && !later[0].heldUntil.After(now) {
			f.mark(later[0])
			later = later[1:]
		}
		round = f.take(round)
		for _, c := range round {
			again, hold, err := w.serve(ctx, c)
			if err != nil {
				return err
			}
			if again {
				f.mark(c)
			}
			if hold {
				later = append(later, c)
			}
		}
		if len(round) > 0 {
			clear(round)
			select {
			case err := <-broken:
				return ended(err)
			case <-f.s.ctx.Done():
				return errClosing
			default:
			}
			continue
		}
		wait := time.Hour
		if len(later) > 0 {
			wait = time.Until(later[0].heldUntil)
		}
		timer.Reset(wait)
		select {
		case <-f.wake:
		case <-timer.C:
		case err := <-broken:
			return ended(err)
		case <-f.s.ctx.Done():
			return errClosing
		}
	}
}

// feedWriter is the sender's hand: it brings one cursor on at a time.
type feedWriter struct {
	s      *Server
	stream rpc.Core_FeedServer
	blocks []room.Block
}

// serve gives one cursor its turn. again: there is more for it. hold: an update
// waits for its time.
func (w *feedWriter) serve(ctx context.Context, c *cursor) (again, hold bool, err error) {
	blocks, r := c.hub.read(c, w.blocks[:0])
	w.blocks = blocks
	if c.answered && (r == reached || r == level) {
		if err := w.sendBlocks(c, blocks); err != nil {
			return false, false, err
		}
		clear(blocks)
		if r == level {
			hold, err = w.sendUpdate(c)
		}
		return r == reached, hold, err
	}
	if !c.answered {
		_, _ = c.hub.takeUpdate(c) // what comes from here on, Subscribed may not say
	}
	info, exists, index := w.look(c)
	switch {
	case c.answered && (!exists || info.Epoch != c.epoch):
		// It was dropped here. If it came back it is a new room: all of it is new.
		c.answered, c.early, c.ask.Epoch, c.ask.After = false, true, 0, 0
		old := c.epoch
		c.hub.place(c, 0, 0, 0)
		return exists, false, w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Gone{Gone: &rpc.RoomGone{Room: c.room, Epoch: old}}})
	case !c.answered && exists && info.Epoch >= c.ask.Epoch:
		return true, false, w.answer(c, info)
	case !c.answered && c.ask.Epoch != 0 && index >= c.ask.Epoch:
		// This replica has applied the entry that made the edge's room, and has
		// no such room any more.
		old := c.ask.Epoch
		c.early, c.ask.Epoch, c.ask.After = true, 0, 0
		return false, false, w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Gone{Gone: &rpc.RoomGone{Room: c.room, Epoch: old}}})
	case !c.answered:
		c.early = c.early || !exists && c.ask.Epoch == 0
		return false, false, nil // when the room comes into being, the hub says so
	}
	c.hub.place(c, c.epoch, c.next, info.Head)
	if c.next > info.Head {
		return c.hub.hasUpdate(c), false, nil
	}
	return true, false, w.sendHistory(ctx, c, info)
}

// look reads the room as this replica has it.
func (w *feedWriter) look(c *cursor) (info room.Info, exists bool, index uint64) {
	c.shard.View(func(m machine.Machine, _ machine.Reader) { info, exists = m.(*room.Shard).Info(c.room) })
	return info, exists, c.shard.AppliedIndex()
}

// answer says Subscribed, and what of the past is lost.
func (w *feedWriter) answer(c *cursor, info room.Info) error {
	ask := &c.ask
	start := ask.GetAfter()
	switch {
	case c.early:
		start = info.First - 1
	case ask.GetEpoch() == 0:
		start = max(info.Head-min(info.Head, uint64(ask.GetRecent())), info.First-1)
	case ask.GetEpoch() != info.Epoch, start < info.First-1:
		start = info.First - 1
	}
	c.answered, c.updated = true, time.Time{}
	c.hub.place(c, info.Epoch, start+1, info.Head)
	err := w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Subscribed{Subscribed: &rpc.Subscribed{
		Room: c.room, Epoch: info.Epoch, First: info.First, Head: info.Head, Members: info.Members,
		Policy: info.Policy, Survive: w.s.survives(c.shard), Start: start, Moderation: info.Moderation,
	}}})
	if err != nil || ask.GetEpoch() == 0 {
		return err
	}
	switch {
	case ask.GetEpoch() != info.Epoch:
		return w.sendGap(c, ask.GetEpoch(), ask.GetAfter()+1, 0, "epoch")
	case ask.GetAfter() < start:
		return w.sendGap(c, info.Epoch, ask.GetAfter()+1, start, "trimmed")
	}
	return nil
}

func (w *feedWriter) sendGap(c *cursor, epoch, first, last uint64, reason string) error {
	w.s.metrics.gaps.WithLabelValues(reason).Inc()
	return w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Gap{Gap: &rpc.FeedGap{
		Room: c.room, Epoch: epoch, First: first, Last: last, Reason: reason,
	}}})
}

// sendBlocks sends blocks from the tail, small ones together.
func (w *feedWriter) sendBlocks(c *cursor, blocks []room.Block) error {
	for len(blocks) > 0 {
		m, err := message(&blocks[0], c.next)
		if err != nil {
			return status.Error(codes.DataLoss, err.Error())
		}
		n, size := 1, len(m.GetRecords())
		for n < len(blocks) && size+len(blocks[n].Records) <= maxBlock {
			size += len(blocks[n].Records)
			n++
		}
		if n > 1 {
			joined := make([]byte, 0, size)
			joined = append(joined, m.GetRecords()...)
			for i := range blocks[1:n] {
				joined = append(joined, blocks[1+i].Records...)
				m.Count += blocks[1+i].Count
			}
			m.Records, m.Crc = joined, protocol.CRC(joined)
		}
		if err := w.sendBlock(c, m); err != nil {
			return err
		}
		blocks = blocks[n:]
	}
	return nil
}

func (w *feedWriter) sendBlock(c *cursor, m *rpc.Block) error {
	if err := w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Block{Block: m}}); err != nil {
		return err
	}
	w.s.metrics.fed.Add(float64(m.GetCount()))
	c.hub.advance(c, m.GetFirst()+uint64(m.GetCount()))
	return nil
}

// maxCorruptReads is how often damage is read again before the feed ends, so
// that the edge goes to another replica.
const maxCorruptReads = 3

// sendHistory brings a cursor on that the tail does not reach.
func (w *feedWriter) sendHistory(ctx context.Context, c *cursor, info room.Info) error {
	if c.next < info.First {
		first := c.next
		c.hub.advance(c, info.First)
		return w.sendGap(c, info.Epoch, first, info.First-1, "trimmed")
	}
	page, perr, err := w.s.readHistory(ctx, w.s.feedReads, c.shard, info, c.next, protocol.MaxHistory, feedRound, false)
	switch {
	case err != nil:
		return err
	case perr != nil && perr.Code == protocol.Trimmed:
		return nil // trimmed meanwhile: the next look sees it
	case perr != nil:
		if c.corrupt++; c.corrupt >= maxCorruptReads {
			return status.Errorf(codes.DataLoss, "feed of a room from %d: %v", c.next, perr)
		}
		return nil
	case page.Count == 0:
		return nil
	}
	c.corrupt = 0
	w.s.metrics.fedFromStore.Add(float64(page.Count))
	return w.sendBlock(c, &rpc.Block{
		Room: c.room, Epoch: info.Epoch, First: page.Start, Count: page.Count, Records: page.Records, Crc: page.CRC,
	})
}

// sendUpdate tells counts, policy and moderation, not too often.
func (w *feedWriter) sendUpdate(c *cursor) (hold bool, err error) {
	if !c.hub.hasUpdate(c) {
		return false, nil
	}
	now := time.Now()
	if due := c.updated.Add(updateEvery); due.After(now) {
		hold = c.heldUntil.Before(now) // else it is held already
		if hold {
			c.heldUntil = due
		}
		return hold, nil
	}
	u, ok := c.hub.takeUpdate(c)
	if !ok {
		return false, nil
	}
	if u.all {
		info, exists, _ := w.look(c)
		if !exists || info.Epoch != c.epoch {
			return false, nil // it went meanwhile: the hub says so
		}
		u.epoch, u.members, u.policy, u.moderation = info.Epoch, info.Members, info.Policy, info.Moderation
		if u.moderation == nil {
			u.moderation = &rpc.Moderation{}
		}
	}
	c.updated = now
	return false, w.stream.Send(&rpc.FeedResponse{Frame: &rpc.FeedResponse_Update{Update: &rpc.RoomUpdate{
		Room: c.room, Epoch: u.epoch, Members: u.members, Joined: u.joined, Left: u.left, Policy: u.policy,
		Survive: w.s.survives(c.shard), Moderation: u.moderation,
	}}})
}
