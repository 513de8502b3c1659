package upstream

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// A Feed is a room's cursor on core. All methods but Position are called by
// one goroutine, in the order core sent them, and must not block for long.
type Feed interface {
	// Position says where to go on: the epoch and the newest seq held, or
	// epoch 0 to start at the head, less recent messages.
	Position() (epoch, after uint64, recent uint32)
	Subscribed(*rpc.Subscribed)
	Block(*rpc.Block)
	Gap(*rpc.FeedGap)
	Update(*rpc.RoomUpdate)
	Gone(*rpc.RoomGone)
}

// feeds are the subscriptions; they outlive links.
type feeds struct {
	mu   sync.Mutex // guards the fields below
	subs map[string]Feed
	ask  []string // rooms to subscribe to or unsubscribe from, in order
	wake chan struct{}
}

func (f *feeds) init() {
	f.subs = make(map[string]Feed)
	f.wake = make(chan struct{}, 1)
}

// Subscribe begins to feed a room, and goes on until Unsubscribe whatever
// happens to the link.
func (c *Client) Subscribe(room string, feed Feed) {
	f := &c.feeds
	f.mu.Lock()
	f.subs[room] = feed
	f.ask = append(f.ask, room)
	f.mu.Unlock()
	f.signal()
}

// Resubscribe asks again from the feed's position: what came in between was
// not usable.
func (c *Client) Resubscribe(room string) {
	f := &c.feeds
	f.mu.Lock()
	if _, ok := f.subs[room]; ok {
		f.ask = append(f.ask, room)
	}
	f.mu.Unlock()
	f.signal()
}

// Unsubscribe ends the feed of a room. A call of its methods may still be
// under way.
func (c *Client) Unsubscribe(room string) {
	f := &c.feeds
	f.mu.Lock()
	delete(f.subs, room)
	f.ask = append(f.ask, room)
	f.mu.Unlock()
	f.signal()
}

func (f *feeds) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// restart asks for every room again: a new link knows none.
func (f *feeds) restart() {
	f.mu.Lock()
	f.ask = f.ask[:0]
	for room := range f.subs {
		f.ask = append(f.ask, room)
	}
	f.mu.Unlock()
	f.signal()
}

// send owns the sending side of a feed stream.
func (f *feeds) send(ctx context.Context, stream grpc.BidiStreamingClient[rpc.FeedRequest, rpc.FeedResponse]) error {
	var ask []string
	for {
		f.mu.Lock()
		ask, f.ask = f.ask, ask[:0]
		f.mu.Unlock()
		for _, room := range ask {
			if err := stream.Send(f.request(room)); err != nil {
				return fmt.Errorf("subscribe at core: %w", err)
			}
		}
		if len(ask) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		}
	}
}

func (f *feeds) request(room string) *rpc.FeedRequest {
	f.mu.Lock()
	feed := f.subs[room]
	f.mu.Unlock()
	if feed == nil {
		return &rpc.FeedRequest{Frame: &rpc.FeedRequest_Unsubscribe{Unsubscribe: &rpc.Unsubscribe{Room: room}}}
	}
	epoch, after, recent := feed.Position()
	return &rpc.FeedRequest{Frame: &rpc.FeedRequest_Subscribe{Subscribe: &rpc.Subscribe{Room: room, Epoch: epoch, After: after, Recent: recent}}}
}

// receive owns the receiving side of a feed stream.
func (f *feeds) receive(stream grpc.BidiStreamingClient[rpc.FeedRequest, rpc.FeedResponse]) error {
	of := func(room string) Feed {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.subs[room]
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("feed from core: %w", err)
		}
		switch r := m.GetFrame().(type) {
		case *rpc.FeedResponse_Subscribed:
			if feed := of(r.Subscribed.GetRoom()); feed != nil {
				feed.Subscribed(r.Subscribed)
			}
		case *rpc.FeedResponse_Block:
			if feed := of(r.Block.GetRoom()); feed != nil {
				feed.Block(r.Block)
			}
		case *rpc.FeedResponse_Gap:
			if feed := of(r.Gap.GetRoom()); feed != nil {
				feed.Gap(r.Gap)
			}
		case *rpc.FeedResponse_Update:
			if feed := of(r.Update.GetRoom()); feed != nil {
				feed.Update(r.Update)
			}
		case *rpc.FeedResponse_Gone:
			if feed := of(r.Gone.GetRoom()); feed != nil {
				feed.Gone(r.Gone)
			}
		}
	}
}
