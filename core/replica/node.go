package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// A Node holds this process's replicas of all shards. Close ends everything
// that Open started.
type Node struct {
	// Set by Open, never changed.
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	lock    *os.File
	store   *store
	shards  []*Shard
	byID    map[uint32]*Shard
	disk    *diskGuard
	ctx     context.Context //nolint:containedctx // the node's life, for what raft calls without one
	cancel  context.CancelFunc

	running sync.WaitGroup // goroutines of the node
	dead    chan struct{}  // closed by the first fatal error

	mu     sync.Mutex // guards the fields below
	closed bool
	why    error // the first fatal error
}

// Open opens the data directory and starts a replica of every shard. It
// returns ErrLocked, ErrCorrupt or ErrNewerSchema, wrapped, when the directory
// cannot be used.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (_ *Node, err error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: log, byID: map[uint32]*Shard{}, dead: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if n.metrics, err = newMetrics(reg); err != nil {
		return nil, err
	}
	cfg.Dir = filepath.Clean(cfg.Dir)
	n.cfg.Dir = cfg.Dir
	if err := makeDir(filepath.Dir(cfg.Dir), cfg.Dir); err != nil {
		return nil, err
	}
	if n.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	if err := n.checkOwner(); err != nil {
		return nil, err
	}
	n.disk = newDiskGuard(n)
	if n.store, err = openStore(cfg.Dir, cfg.CacheBytes, log, n.fatal); err != nil {
		return nil, err
	}
	ids := slices.Clone(cfg.Shards)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		s, err := openShard(n, id)
		if err != nil {
			return nil, err
		}
		n.shards = append(n.shards, s)
		n.byID[id] = s
	}
	for _, s := range n.shards {
		s.proposer.start()
		n.run(s.lead)
	}
	n.run(n.watch)
	return n, nil
}

// begin counts a goroutine in, unless the node is closing.
func (n *Node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.running.Add(1)
	return true
}

func (n *Node) run(f func(ctx context.Context)) {
	if n.begin() {
		go func() {
			defer n.running.Done()
			f(n.ctx)
		}()
	}
}

// Close stops every shard and waits for what Open and Handoff started.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	errs := make([]error, len(n.shards))
	var stopping sync.WaitGroup
	for i, s := range n.shards {
		stopping.Go(func() { errs[i] = s.shutdown() })
	}
	stopping.Wait()
	err := errors.Join(errs...)
	if errors.Is(err, errAbandoned) {
		return err
	}
	n.running.Wait()
	if n.store != nil {
		err = errors.Join(err, n.store.close())
	}
	if n.lock != nil {
		err = errors.Join(err, n.lock.Close())
	}
	return err
}

// fatal reports the first error that ends the process.
func (n *Node) fatal(err error) {
	n.mu.Lock()
	first := n.why == nil
	if first {
		n.why = err
	}
	n.mu.Unlock()
	if !first {
		return
	}
	close(n.dead)
	n.log.Error("this replica cannot go on", "error", err)
	n.cfg.Fatal(err)
}

func (n *Node) fatalErr() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.why
}

// Shard returns a shard of this node, nil if it is not here.
func (n *Node) Shard(id uint32) *Shard { return n.byID[id] }

// Shards returns all shards, by number.
func (n *Node) Shards() []*Shard { return n.shards }

// Bootstrap makes this node and peers the first members of every shard that
// has none; peers must name this node. Shards that have members already are
// left alone, so that it may be repeated.
func (n *Node) Bootstrap(peers []Peer) error {
	servers := make([]raft.Server, 0, len(peers))
	for _, p := range peers {
		servers = append(servers, p.server())
	}
	for _, s := range n.shards {
		err := s.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return fmt.Errorf("bootstrap shard %d: %w", s.id, err)
		}
	}
	return nil
}

// Disk returns the free and all bytes of the data directory's file system, as
// last seen.
func (n *Node) Disk() (free, total uint64) { return n.disk.free.Load(), n.disk.total.Load() }

const (
	lockFile    = "LOCK"
	clusterFile = "CLUSTER"
	nodeFile    = "NODE"
)

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// checkOwner keeps a node from starting on another node's data.
func (n *Node) checkOwner() error {
	path := filepath.Join(n.cfg.Dir, nodeFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeFile(path, []byte(n.cfg.Node+"\n"))
	}
	if err != nil {
		return err
	}
	if id := strings.TrimSpace(string(b)); id != n.cfg.Node {
		return fmt.Errorf("data directory %s belongs to node %q, not %q: a node keeps its directory and its id for life", n.cfg.Dir, id, n.cfg.Node)
	}
	return nil
}

// ClusterID is the cluster that the data directory belongs to, "" for none yet.
func (n *Node) ClusterID() (string, error) {
	b, err := os.ReadFile(filepath.Join(n.cfg.Dir, clusterFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// SetClusterID binds the data directory to a cluster, once. It returns
// ErrOtherCluster, wrapped, when it is bound to another.
func (n *Node) SetClusterID(id string) error {
	if id == "" || strings.ContainsAny(id, " \n") {
		return fmt.Errorf("bad cluster id %q", id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	have, err := n.ClusterID()
	switch {
	case err != nil:
		return err
	case have == id:
		return nil
	case have != "":
		return fmt.Errorf("%s is of cluster %q, not %q: %w", n.cfg.Dir, have, id, ErrOtherCluster)
	}
	return writeFile(filepath.Join(n.cfg.Dir, clusterFile), []byte(id+"\n"))
}

// watch is the goroutine that looks at the disk and at writes that hang.
func (n *Node) watch(ctx context.Context) {
	tick := time.NewTicker(min(diskEvery, n.cfg.WriteTimeout/2))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range n.shards {
				if d := s.logs.hung(now); d > n.cfg.WriteTimeout {
					n.fatal(fmt.Errorf("shard %d: a write to the log has been hanging for %s: look at the disk", s.id, d.Round(time.Millisecond)))
				}
			}
			n.disk.check()
		}
	}
}
