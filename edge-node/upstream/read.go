package upstream

import (
	"context"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// readTimeout bounds one read from core.
const readTimeout = 5 * time.Second

// ReadHistory reads from the region's replica. A page whose checksum is wrong
// is a protocol.Corrupt error; the page's own code is the caller's to look at.
func (c *Client) ReadHistory(ctx context.Context, req *rpc.HistoryRequest) (*rpc.HistoryPage, error) {
	l := c.link.Load()
	if l == nil {
		return nil, unavailable()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	page, err := l.core.ReadHistory(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("read history of core node %s: %w", l.node, err)
	}
	if protocol.CRC(page.GetRecords()) != page.GetCrc() {
		return nil, protocol.Errorf(protocol.Corrupt, "the history that core node %s sent is damaged; try again", l.node)
	}
	return page, nil
}

// ListMembers reads a page of members from the region's replica.
func (c *Client) ListMembers(ctx context.Context, req *rpc.MembersRequest) (*rpc.MembersResponse, error) {
	l := c.link.Load()
	if l == nil {
		return nil, unavailable()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	page, err := l.core.ListMembers(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("list members at core node %s: %w", l.node, err)
	}
	return page, nil
}

// Head asks the room's leader for its newest seq, linearizably.
func (c *Client) Head(ctx context.Context, room string) (*rpc.HeadResponse, error) {
	l := c.link.Load()
	if l == nil {
		return nil, unavailable()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	head, err := l.core.Head(ctx, &rpc.HeadRequest{Room: room})
	if err != nil {
		return nil, fmt.Errorf("ask core node %s for the head: %w", l.node, err)
	}
	return head, nil
}
