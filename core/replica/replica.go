// Package replica keeps one machine.Machine per shard replicated over nodes.
// It is the one door to hashicorp/raft, raft-wal and Pebble.
package replica

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Errors of Propose and its kin.
var (
	// ErrNotLeader: nothing was proposed; Leader says who to ask.
	ErrNotLeader = errors.New("not the leader of this shard")
	// ErrUnknown: the entry may or may not be committed.
	ErrUnknown = errors.New("outcome unknown")
	// ErrDiskFull: nothing was proposed, the disk is nearly full.
	ErrDiskFull = errors.New("disk nearly full")
	// ErrClosed: the node is shutting down.
	ErrClosed = errors.New("replica closed")
)

// Dialer opens a raft connection for one shard to a peer's address; Accept side
// connections arrive through Node.Handoff. Both are mutually authenticated
// before replica sees them.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// Applied is told, after an entry's writes are in the store, what it did.
// It is called by the shard's apply goroutine, in log order, and must not block.
type Applied func(shard uint32, index uint64, effects any)

// Config is what a node needs to open its replicas. Zero durations and sizes
// mean the defaults.
type Config struct {
	Node    string // id, never reused
	Address string // host:port peers reach
	Region  string
	Dir     string
	Shards  []uint32 // 0 is control

	Machine func(shard uint32) machine.Machine
	Applied Applied
	Dial    Dialer

	Heartbeat time.Duration // raft heartbeat and election timeout
	// Fatal is called once, from any goroutine, when the process must end
	// because its disk cannot be trusted any more (a write that hung or
	// failed). Default: log and os.Exit(3) is the caller's business.
	Fatal func(error)
}

// The rest of this package's door, kept as comments until it is written:
//
//	func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Node, error)
//	func (n *Node) Close() error                       // waits for everything it started
//	func (n *Node) Handoff(conn net.Conn)              // an accepted raft connection; reads the shard header
//	func (n *Node) Bootstrap(peers []Peer) error       // every shard, once, on the first node
//	func (n *Node) Shard(id uint32) *Shard             // nil if not here
//	func (n *Node) Shards() []*Shard
//	func (n *Node) ClusterID() (string, error); SetClusterID(string) error // in the data directory
//	func (n *Node) Disk() (free, total uint64)
//
//	func (s *Shard) Submit(section []byte, done func(i int, effects any, err error))
//	    // leader: packs sections into entries (group commit), calls done from the
//	    // apply goroutine with the section's position in its entry
//	func (s *Shard) Leader() (id, address string, ok bool)
//	func (s *Shard) IsLeader() bool
//	func (s *Shard) LeaderChanges() <-chan struct{}     // or a callback
//	func (s *Shard) Verify(ctx context.Context) error   // linearizable: still leader and applied up to now
//	func (s *Shard) View(f func(m machine.Machine, r machine.Reader)) // never overlaps Apply
//	func (s *Shard) Reader() (machine.Reader, io.Closer) // a snapshot of the store, for long reads
//	func (s *Shard) AppliedIndex() uint64
//	func (s *Shard) AddPeer(ctx, Peer, voter bool) error; RemovePeer(ctx, id) error; Transfer(ctx, id) error
//	func (s *Shard) Status() *rpc.ShardStatus
var _ = rpc.Result{}
