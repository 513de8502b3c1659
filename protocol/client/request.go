package client

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

const defaultHistoryLimit = 100

// A call is a command whose reply somebody waits for. It is harmless to
// repeat, and is repeated on the next link when its own breaks.
type call struct {
	frame *wire.ClientFrame
	once  sync.Once
	done  chan struct{}
	reply *wire.ServerFrame
	err   error
}

func (cl *call) finish(reply *wire.ServerFrame, err error) {
	cl.once.Do(func() {
		cl.reply, cl.err = reply, err
		close(cl.done)
	})
}

// call sends a command and waits for its reply.
func (c *Client) call(ctx context.Context, f *wire.ClientFrame) (*wire.ServerFrame, error) {
	cl := &call{frame: f, done: make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.calls[cl] = struct{}{}
	if c.current != nil {
		c.sendLocked(c.current, f, answer{call: cl})
	}
	c.mu.Unlock()

	select {
	case <-cl.done:
		return cl.reply, cl.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.calls, cl)
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

// valid makes what an application hands back to the server encodable; the
// server refuses what is not its own.
func valid(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func checkRoom(room string) error {
	if room == "" || len(room) > protocol.MaxRoomName || !utf8.ValidString(room) {
		return protocol.Errorf(protocol.BadRoom, "a room name has 1 to %d bytes of UTF-8", protocol.MaxRoomName)
	}
	return nil
}

// History reads a page of a room's log, joined or not.
func (c *Client) History(ctx context.Context, room string, o HistoryOptions) (Page, error) {
	if err := checkRoom(room); err != nil {
		return Page{}, fmt.Errorf("history of %q: %w", room, err)
	}
	if o.Limit <= 0 {
		o.Limit = defaultHistoryLimit
	}
	f, err := c.call(ctx, &wire.ClientFrame{Command: &wire.ClientFrame_History{History: &wire.History{
		Room: room, From: o.From, Limit: uint32(min(o.Limit, protocol.MaxHistory)), Reverse: o.Reverse, Epoch: valid(o.Epoch),
	}}})
	if err != nil {
		return Page{}, fmt.Errorf("history of %s: %w", room, err)
	}
	m := f.GetMessages()
	return Page{
		Epoch: m.GetEpoch(), First: m.GetFirst(), Head: m.GetHead(), More: m.GetMore(), Messages: toMessages(m.GetEpoch(), m.GetMessages()),
	}, nil
}

// Members reads a page of a room's members. cursor is empty for the first.
func (c *Client) Members(ctx context.Context, room, cursor string, limit int) (MembersPage, error) {
	if err := checkRoom(room); err != nil {
		return MembersPage{}, fmt.Errorf("members of %q: %w", room, err)
	}
	f, err := c.call(ctx, &wire.ClientFrame{Command: &wire.ClientFrame_Members{Members: &wire.Members{
		Room: room, Cursor: valid(cursor), Limit: uint32(max(0, min(limit, protocol.MaxMembers))),
	}}})
	if err != nil {
		return MembersPage{}, fmt.Errorf("members of %s: %w", room, err)
	}
	m := f.GetMembers()
	return MembersPage{
		Members: toMembers(m.GetMembers()), Cursor: m.GetCursor(), Total: m.GetTotal(), CountsOnly: m.GetCountsOnly(),
	}, nil
}

// ServerTime asks for the server's clock, in its milliseconds.
func (c *Client) ServerTime(ctx context.Context) (time.Time, error) {
	f, err := c.call(ctx, &wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
	if err != nil {
		return time.Time{}, fmt.Errorf("ask for the time: %w", err)
	}
	return time.UnixMilli(f.GetPong().GetTimeMs()), nil
}
