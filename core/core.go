// Package core is the core process: replicated rooms behind one port. It wires
// replicas, state machines and the service together and makes the node a
// member of its cluster; what they do is in the packages below.
package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/core/api"
	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Options are what a process that embeds a core node may bring along.
type Options struct {
	Credentials *pki.Credentials // nil: loaded from Config.TLS
	// Dial opens connections to other core nodes; nil means TCP.
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	Listener net.Listener          // nil: opened at Config.Listen
	Log      *slog.Logger          // nil: discarded
	Registry prometheus.Registerer // nil: one of its own
}

// A Core is a running core node. Close ends it.
type Core struct {
	cfg     Config
	log     *slog.Logger
	address string
	member  *member
	server  *api.Server
	node    *replica.Node

	cancel context.CancelFunc
	wg     sync.WaitGroup
	fatal  chan error // has room for one: why the node cannot go on
	once   sync.Once
	closed error
}

// Fault is why a process must end and stay down until somebody has looked at
// its disk: it cannot be trusted, or it holds another cluster's data.
type Fault struct{ Err error }

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// ExitCode is 3.
func (f *Fault) ExitCode() int { return 3 }

// Run runs a core node until ctx ends or the node cannot go on.
func Run(ctx context.Context, cfg Config, stdout io.Writer) error {
	log := ops.NewLogger(stdout, cfg.Log)
	status, err := ops.Start(cfg.Ops, log) // metrics stay up while we step down
	if err != nil {
		return fmt.Errorf("start ops listener: %w", err)
	}
	defer func() { _ = status.Close() }()
	status.SetReady("core", errors.New("starting"))

	c, err := Start(ctx, cfg, Options{Log: log, Registry: status.Registry()})
	if err != nil {
		return err
	}
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-c.fatal:
			return errors.Join(err, c.Kill())
		case <-tick.C:
			status.SetReady("core", c.Ready())
		case <-ctx.Done():
			status.SetReady("core", errors.New("stopping"))
			log.Info("stopping")
			hurried := make(chan error, 1)
			go func() { hurried <- c.Close() }()
			select {
			case err := <-hurried:
				return err
			case <-ops.Hurry(ctx):
				return errors.New("stopped without handing over, as told by the second signal")
			}
		}
	}
}

const (
	// readyEvery is how often readiness is looked at.
	readyEvery = 500 * time.Millisecond
	// lookEvery is how often somebody who waits for this node looks at it.
	lookEvery = 20 * time.Millisecond
	// joinPause is the wait between two attempts to become a member.
	joinPause = 300 * time.Millisecond
	// initTimeout bounds one attempt to make the cluster.
	initTimeout = 10 * time.Second
)

// Start starts a core node and returns when it serves. Becoming a member of the
// cluster goes on behind: see Ready. ctx bounds the start only.
func Start(ctx context.Context, cfg Config, opts Options) (_ *Core, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Registry == nil {
		opts.Registry = prometheus.NewRegistry()
	}
	if opts.Credentials == nil {
		if opts.Credentials, err = pki.Load(cfg.TLS, opts.Log); err != nil {
			return nil, fmt.Errorf("%w; make them with barrage cert", err)
		}
	}
	if id := opts.Credentials.Identity(); id.Role != pki.Core || id.Name != cfg.Node {
		return nil, fmt.Errorf("the certificate is for %s, this is core node %s", id, cfg.Node)
	}
	// Before there is a listener: nodes that start together look for a cluster
	// at each other, and a port that nobody serves yet would keep them waiting.
	who, err := identify(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	ln := opts.Listener
	if ln == nil {
		if ln, err = new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
	}
	c := &Core{cfg: cfg, member: who, log: opts.Log, fatal: make(chan error, 1), cancel: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Kill())
			_ = ln.Close()
		}
	}()
	if c.address, err = advertised(cfg, ln.Addr()); err != nil {
		return nil, err
	}
	self := &rpc.Node{Id: c.member.Node, Address: c.address, Region: cfg.Region, Voter: !cfg.Learner, Version: ops.Version().Version}
	server, err := api.New(api.Config{Self: self, Shards: c.member.all(), Credentials: opts.Credentials, Dial: opts.Dial}, opts.Log, opts.Registry)
	if err != nil {
		return nil, err
	}
	c.node, err = replica.Open(c.replicaConfig(self, server), opts.Log, opts.Registry)
	if err != nil {
		server.Close()
		return nil, c.diskFault(err)
	}
	c.server = server
	if err := c.node.SetClusterID(c.member.Cluster); err != nil {
		return nil, c.diskFault(err)
	}
	server.Start(c.node)
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	c.wg.Go(func() {
		if err := server.Serve(ln); err != nil {
			c.fail(err)
		}
	})
	if c.member.Bootstrap {
		if err := c.node.Bootstrap([]replica.Peer{{ID: self.GetId(), Address: c.address, Voter: true}}); err != nil {
			return nil, err
		}
	}
	c.wg.Go(func() { c.becomeMember(life) })
	c.log.Info("core node serves", "node", self.GetId(), "region", self.GetRegion(), "address", c.address, "shards", len(c.member.Shards))
	return c, nil
}

func (c *Core) replicaConfig(self *rpc.Node, server *api.Server) replica.Config {
	return replica.Config{
		Node: self.GetId(), Address: self.GetAddress(), Region: self.GetRegion(), Dir: c.cfg.Data, Shards: c.member.all(),
		Machine: api.NewMachine, Codec: api.NewCodec, Applied: server.Applied, Restored: server.Restored, Dial: server.DialRaft,
		Preferred: func(shard uint32) string {
			state, _ := server.State()
			for _, p := range state.GetPlacements() {
				for _, id := range p.GetShards() {
					if id == shard {
						return p.GetHome()
					}
				}
			}
			return ""
		},
		PeerRegion: func(node string) string {
			state, _ := server.State()
			for _, n := range state.GetNodes() {
				if n.GetId() == node {
					return n.GetRegion()
				}
			}
			return ""
		},
		Heartbeat: c.cfg.Heartbeat, WriteTimeout: c.cfg.Storage.WriteTimeout, SnapshotEntries: c.cfg.Storage.SnapshotEntries,
		CacheBytes: int64(c.cfg.Storage.Cache), Disk: replica.DiskLimits{Ballast: int64(c.cfg.Storage.Ballast)},
		Fatal: func(err error) { c.fail(&Fault{err}) },
	}
}

// diskFault marks errors that no restart mends.
func (c *Core) diskFault(err error) error {
	for _, bad := range []error{replica.ErrCorrupt, replica.ErrNewerSchema, replica.ErrOtherCluster} {
		if errors.Is(err, bad) {
			return &Fault{err}
		}
	}
	return err
}

// fail keeps the first reason why the node cannot go on.
func (c *Core) fail(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// Failed tells, once, why the node cannot go on; a *Fault is about its disk.
func (c *Core) Failed() <-chan error { return c.fatal }

// becomeMember makes the cluster, if this node is its first, and has this node
// taken into it, as it describes itself now.
func (c *Core) becomeMember(ctx context.Context) {
	for !c.server.Member() {
		err := c.makeCluster(ctx)
		if err == nil {
			err = c.server.Join(ctx, c.member.Cluster, c.seeds())
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, replica.ErrOtherCluster), errors.Is(err, &protocol.Error{Code: protocol.Forbidden}):
			c.fail(c.diskFault(err))
			return
		case err != nil:
			c.log.Info("not a member yet", "error", err)
		}
		if !c.pause(ctx, joinPause) {
			return
		}
	}
	c.log.Info("member of the cluster", "cluster", c.member.Cluster)
}

// pause waits, but not longer than until this node is a member. It is false
// when the node closes.
func (c *Core) pause(ctx context.Context, most time.Duration) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	end := time.Now().Add(most)
	for time.Now().Before(end) && !c.server.Member() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (c *Core) makeCluster(ctx context.Context) error {
	state, _ := c.server.State()
	if !c.member.Bootstrap || state.GetCluster() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	err := c.server.Init(ctx, c.member.init(c.cfg))
	if errors.Is(err, &protocol.Error{Code: protocol.BadArgument}) {
		return nil // it is made already
	}
	return err
}

// seeds are the nodes to ask: configured ones, and those of the state.
func (c *Core) seeds() []string {
	seeds := append([]string{}, c.cfg.Join...)
	state, _ := c.server.State()
	for _, n := range state.GetNodes() {
		if !n.GetRemoved() && n.GetAddress() != c.address {
			seeds = append(seeds, n.GetAddress())
		}
	}
	return seeds
}

// Addr is where the others reach this node.
func (c *Core) Addr() string { return c.address }

// Node is this node's id.
func (c *Core) Node() string { return c.member.Node }

// State is the newest control state that this node has, and a channel that is
// closed when there is a newer one.
func (c *Core) State() (*rpc.ControlState, <-chan struct{}) { return c.server.State() }

// Ready says why this node cannot serve edges well, nil when it can.
func (c *Core) Ready() error {
	if err := c.server.Ready(); err != nil {
		return err
	}
	if !c.server.Member() {
		return errors.New("not in all shards yet")
	}
	return nil
}

// WaitReady waits until the node is ready or cannot go on.
func (c *Core) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := c.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case fault := <-c.fatal:
			c.fail(fault)
			return fault
		case <-ctx.Done():
			return fmt.Errorf("core node %s is not ready: %w", c.member.Node, err)
		}
	}
}

// Close hands leadership over, for at most the configured time, and ends the
// node.
func (c *Core) Close() error {
	c.server.StepDown(context.Background(), c.cfg.Drain)
	return c.Kill()
}

// Kill ends the node without handing anything over. It waits for everything
// that Start has started.
func (c *Core) Kill() error {
	c.once.Do(func() {
		c.cancel()
		if c.server != nil {
			c.server.Close()
		}
		c.wg.Wait()
		if c.node != nil {
			c.closed = c.node.Close()
		}
	})
	return c.closed
}

// advertised is the address under which the others reach this node.
func advertised(cfg Config, addr net.Addr) (string, error) {
	if cfg.Advertise != "" {
		return cfg.Advertise, nil
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("advertise: %w; name the address under which the others reach this node", err)
		}
	}
	return net.JoinHostPort(host, port), nil
}
