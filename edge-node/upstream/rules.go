package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// fetchTimeout bounds one attempt to get a bundle from one node: the largest
// one over a slow line between regions.
const fetchTimeout = 30 * time.Second

// Changed has a value when State may have become newer. It is for one reader.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// Report says what this edge made of the rules in the cluster's state. Core
// hears of it at once.
func (c *Client) Report(filters []*rpc.FilterReport) {
	c.filters.Store(&filters)
	if l := c.link.Load(); l != nil {
		l.renew()
	}
}

// reports is what Report said last.
func (c *Client) reports() []*rpc.FilterReport {
	if p := c.filters.Load(); p != nil {
		return *p
	}
	return nil
}

// errDamaged: a node gave a bundle that is not the one asked for.
var errDamaged = errors.New("what came is not the bundle")

// FetchFilter gets the bundle with this SHA-256 and size from the present core
// node or, when that one does not have it (yet), from another.
func (c *Client) FetchFilter(ctx context.Context, digest []byte, size int) ([]byte, error) {
	l := c.link.Load()
	if l == nil {
		return nil, unavailable()
	}
	data, err := fetchFilter(ctx, l.core, digest, size)
	if err == nil || !elsewhere(err) {
		return data, wrapFetch(l.node, err)
	}
	first := wrapFetch(l.node, err)
	for _, address := range c.nodes() {
		if address == l.node {
			continue
		}
		if data, err := c.fetchFrom(ctx, address, digest, size); err == nil {
			return data, nil
		}
	}
	return nil, first
}

func wrapFetch(node string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("get rules from core node %s: %w", node, err)
}

// elsewhere says whether another node may do better.
func elsewhere(err error) bool {
	code := status.Code(err)
	return errors.Is(err, errDamaged) || code == codes.NotFound || code == codes.DataLoss
}

func (c *Client) fetchFrom(ctx context.Context, address string, digest []byte, size int) ([]byte, error) {
	conn, err := c.dial(address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return fetchFilter(ctx, rpc.NewCoreClient(conn), digest, size)
}

func fetchFilter(ctx context.Context, core rpc.CoreClient, digest []byte, size int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	stream, err := core.FetchFilter(ctx, &rpc.FetchFilterRequest{Digest: digest})
	if err != nil {
		return nil, err
	}
	var data []byte
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(data)+len(chunk.GetData()) > size {
			return nil, fmt.Errorf("%w: it has more than %d bytes", errDamaged, size)
		}
		data = append(data, chunk.GetData()...)
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], digest) {
		return nil, fmt.Errorf("%w: its checksum is another", errDamaged)
	}
	return data, nil
}
