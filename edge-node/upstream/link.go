package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/barrage-im/barrage/protocol/rpc"
)

// Times of a link.
const (
	connectTimeout = 3 * time.Second        // for the first answer of a node
	silenceLimit   = 5 * time.Second        // a node that owes answers and gives none is left
	renewPause     = 50 * time.Millisecond  // between two coalesced hellos
	minPause       = 50 * time.Millisecond  // between two attempts to connect
	maxPause       = time.Second            // the same, after many
	homeEvery      = 30 * time.Second       // how often an edge served from elsewhere tries its own region
	tellEvery      = 10 * time.Second       // how often the log says that core is still away
	keepEvery      = 100 * time.Millisecond // presence, deadlines, renewals
	// goodbyeTime is how long a node may take to hear that this edge ends: then
	// core forgets the edge at once. Otherwise it waits until the lease lapses,
	// and operators wait for what a process of the past makes of their rules.
	goodbyeTime = 500 * time.Millisecond
)

// rpcWindow is the receive window of a stream: what core may have on its way
// to us. A feed of a busy region fills it, an idle one does not.
const rpcWindow = 1 << 20

var errMoveHome = errors.New("a core node of the own region can be reached again")

// A link is the connection to one core node: the attach and the feed stream,
// which break together.
type link struct {
	node   string // address
	core   rpc.CoreClient
	region string
	hello  chan struct{} // say hello again
}

// renew asks for another hello.
func (l *link) renew() {
	select {
	case l.hello <- struct{}{}:
	default:
	}
}

// run keeps one link up, moving from node to node.
func (c *Client) run(ctx context.Context) {
	pause, at := minPause, 0
	var told time.Time
	for ctx.Err() == nil {
		nodes := c.nodes()
		address := nodes[at%len(nodes)]
		up, err := c.serve(ctx, address)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMoveHome) {
			at, pause = 0, minPause
			continue
		}
		c.met.reconnects.Inc()
		if up || time.Since(told) > tellEvery {
			told = time.Now()
			c.log.Warn("no connection to core; trying on", "node", address, "err", err)
		}
		if up {
			at, pause = 0, minPause // start again from the nearest
			if len(nodes) > 1 && nodes[0] == address {
				at = 1
			}
		} else {
			at++
			if at%len(nodes) == 0 { // all of them were tried
				pause = min(2*pause, maxPause)
			}
		}
		sleep(ctx, pause/2+rand.N(pause))
	}
}

// nodes lists core addresses to try: configured ones first, then those of the
// own region that the cluster's state names, then the others.
func (c *Client) nodes() []string {
	nodes := slices.Clone(c.cfg.Nodes)
	for _, own := range []bool{true, false} {
		for _, n := range c.state.Load().GetNodes() {
			if n.GetRemoved() || (n.GetRegion() == c.cfg.Region) != own || slices.Contains(nodes, n.GetAddress()) {
				continue
			}
			nodes = append(nodes, n.GetAddress())
		}
	}
	return nodes
}

func (c *Client) dial(address string) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(c.cfg.Credentials),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: minPause, Multiplier: 1.6, MaxDelay: maxPause}, MinConnectTimeout: connectTimeout}),
		grpc.WithInitialWindowSize(rpcWindow),
		grpc.WithInitialConnWindowSize(4 * rpcWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8 << 20)),
		grpc.WithDisableServiceConfig(),
	}
	if c.cfg.Dial != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return c.cfg.Dial(ctx, address)
		}))
	}
	return grpc.NewClient("passthrough:///"+address, opts...)
}

// serve runs one link until it breaks. up says whether the node had welcomed us.
func (c *Client) serve(life context.Context, address string) (up bool, err error) {
	conn, err := c.dial(address)
	if err != nil {
		return false, fmt.Errorf("dial core node %s: %w", address, err)
	}
	defer conn.Close()
	// The streams outlive this edge's end by a good-bye.
	ctx, cancel := context.WithCancel(context.WithoutCancel(life))
	defer cancel()
	abort := context.AfterFunc(life, cancel)
	defer abort()

	l := &link{node: address, core: rpc.NewCoreClient(conn), hello: make(chan struct{}, 1)}
	late := time.AfterFunc(connectTimeout, cancel)
	attach, err := l.core.Attach(ctx)
	if err != nil {
		return false, fmt.Errorf("attach to %s: %w", address, err)
	}
	if err := attach.Send(c.edge()); err != nil {
		return false, fmt.Errorf("attach to %s: %w", address, err)
	}
	first, err := attach.Recv()
	if err != nil {
		return false, fmt.Errorf("attach to %s: %w", address, err)
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return false, fmt.Errorf("attach to %s: no welcome", address)
	}
	feed, err := l.core.Feed(ctx)
	if err != nil {
		return false, fmt.Errorf("feed from %s: %w", address, err)
	}
	hello := &rpc.FeedRequest{Frame: &rpc.FeedRequest_Hello{Hello: &rpc.FeedHello{Incarnation: c.cfg.Incarnation}}}
	if err := feed.Send(hello); err != nil {
		return false, fmt.Errorf("feed from %s: %w", address, err)
	}
	if !late.Stop() {
		return false, fmt.Errorf("attach to %s: no welcome in %v", address, connectTimeout)
	}

	l.region = welcome.GetRegion()
	c.welcome.Store(welcome)
	c.learn(welcome.GetState())
	c.begin(l)
	c.feeds.restart()
	c.log.Info("connected to core", "node", welcome.GetNode(), "region", l.region, "address", address)
	defer c.end()

	if !abort() {
		return true, life.Err()
	}
	g, working := errgroup.WithContext(life)
	parted := make(chan struct{})
	stop := context.AfterFunc(working, func() { // the first to fail ends the streams
		if life.Err() != nil {
			select {
			case <-parted:
			case <-time.After(goodbyeTime):
			}
		}
		cancel()
	})
	defer stop()
	g.Go(func() error {
		err := c.sendLanes(working, l, attach)
		if life.Err() != nil { // else it goes on at another node
			err = errors.Join(err, attach.CloseSend()) // the good-bye
		}
		return err
	})
	g.Go(func() error {
		defer close(parted)
		return c.receiveLanes(attach)
	})
	g.Go(func() error { return c.feeds.send(working, feed) })
	g.Go(func() error { return c.feeds.receive(feed) })
	g.Go(func() error { return c.watch(working, l) })
	return true, g.Wait()
}

// begin opens every lane on a new link.
func (c *Client) begin(l *link) {
	now := time.Now()
	c.mu.Lock()
	c.link.Store(l)
	for _, ln := range c.lanes {
		ln.restart(c.lease(), now)
	}
	c.mu.Unlock()
	c.met.connected.Set(1)
	c.signal()
	c.remark()
}

// end stops every lane when the link is gone.
func (c *Client) end() {
	now := time.Now()
	c.mu.Lock()
	c.link.Store(nil)
	c.down.Store(now.UnixNano())
	for _, ln := range c.lanes {
		ln.stop(time.Time{}, now)
	}
	c.mu.Unlock()
	c.met.connected.Set(0)
}

// edge is what we say about ourselves.
func (c *Client) edge() *rpc.AttachRequest {
	return &rpc.AttachRequest{Frame: &rpc.AttachRequest_Hello{Hello: &rpc.Edge{
		Incarnation: c.cfg.Incarnation, Name: c.cfg.Edge, Region: c.cfg.Region, Endpoints: c.cfg.Endpoints,
		TtlMs: uint32(c.cfg.TTL.Milliseconds()), Draining: c.draining.Load(), Sessions: uint32(c.cfg.Sessions()),
		Filters: c.reports(),
	}}}
}

// learn keeps the newest control state.
func (c *Client) learn(state *rpc.ControlState) {
	if state == nil {
		return
	}
	if old := c.state.Load(); old != nil && old.GetCluster() == state.GetCluster() && old.GetVersion() > state.GetVersion() {
		return
	}
	c.state.Store(state)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// watch leaves a node that owes answers and gives none, and one of another
// region as soon as one of our own can be reached.
func (c *Client) watch(ctx context.Context, l *link) error {
	check := time.NewTicker(silenceLimit / 5)
	defer check.Stop()
	home := time.NewTicker(homeEvery)
	defer home.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-check.C:
			now := time.Now()
			c.mu.Lock()
			stuck := false
			for _, ln := range c.lanes {
				stuck = stuck || ln.stuck(now, silenceLimit)
			}
			c.mu.Unlock()
			if stuck {
				return fmt.Errorf("core node %s gave no answer for %v", l.node, silenceLimit)
			}
		case <-home.C:
			if l.region != c.cfg.Region && c.homeReachable(ctx) {
				return errMoveHome
			}
		}
	}
}

// homeReachable tries the node that is first in our list.
func (c *Client) homeReachable(ctx context.Context) bool {
	nodes := c.nodes()
	for _, n := range c.state.Load().GetNodes() {
		if n.GetAddress() == nodes[0] && n.GetRegion() != c.cfg.Region {
			return false // there is none at home
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := c.cfg.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, nodes[0])
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
