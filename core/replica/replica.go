// Package replica keeps one machine.Machine per shard replicated over nodes: it
// packs sections into log entries, has a majority store them, applies them, and
// keeps log and state on a disk it does not trust. It is the one door to
// hashicorp/raft, raft-wal and Pebble, and knows nothing of what the machines
// do.
package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/barrage-im/barrage/core/machine"
)

// Errors of Submit and its kin.
var (
	// ErrNotLeader: nothing was proposed; Leader says who to ask.
	ErrNotLeader = errors.New("not the leader of this shard")
	// ErrUnknown: the entry may or may not be committed.
	ErrUnknown = errors.New("outcome unknown")
	// ErrOverloaded: nothing was proposed, too much is waiting already.
	ErrOverloaded = errors.New("too much is waiting for this shard's log")
	// ErrTooLarge: nothing was proposed, the section is above MaxSection.
	ErrTooLarge = errors.New("section too large for a log entry")
	// ErrDiskFull: nothing was proposed, the disk is nearly full.
	ErrDiskFull = errors.New("disk nearly full")
	// ErrBusy: a leadership transfer of this shard is already under way.
	ErrBusy = errors.New("a leadership transfer is under way")
	// ErrClosed: the node is shutting down.
	ErrClosed = errors.New("replica closed")
	// ErrCorrupt: stored bytes are not those that were written.
	ErrCorrupt = errors.New("stored bytes are damaged")
	// ErrNewerSchema: the bytes were written by a newer version.
	ErrNewerSchema = errors.New("written by a newer version")
	// ErrOtherCluster: the data directory belongs to another cluster.
	ErrOtherCluster = errors.New("data directory belongs to another cluster")
	// ErrLocked: another process uses the data directory.
	ErrLocked = errors.New("data directory is in use by another process")
)

// Dialer opens a raft connection to a peer's address; connections that peers
// open arrive through Node.Handoff. Both are mutually authenticated before
// replica sees them. The shard is written into the connection by replica.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// Applied is told, after an entry's writes are in the store, what it did.
// It is called by the shard's apply goroutine, in log order, and must not block.
// It is not called for entries that the state already held when the node
// started or took a snapshot from a peer: see Restored.
type Applied func(shard uint32, index uint64, effects any)

// Codec makes the payloads that the leader itself needs. The machine of the
// shard reads them.
type Codec struct {
	// Frame appends an entry's payload: sections are the encoded sections, one
	// after the other, as given to Submit.
	Frame func(dst []byte, timeMS int64, sections []byte) []byte
	// Tick makes the section that moves the machine's clock; nil for none.
	Tick func() []byte
	// Term makes the section that a new leader proposes first; nil for none.
	Term func(node string) []byte
}

// Peer is another node, as one shard knows it.
type Peer struct {
	ID      string // never reused
	Address string // host:port
	Voter   bool
}

// Config is what a node needs to open its replicas. Zero durations and sizes
// mean the defaults.
type Config struct {
	Node    string // id, never reused
	Address string // host:port peers reach
	Region  string
	Dir     string
	Shards  []uint32 // 0 is control

	Machine func(shard uint32) machine.Machine // called once a shard, by Open
	Codec   func(shard uint32) Codec
	Applied Applied // may be nil
	// Restored is told that a shard's state was replaced by a snapshot from a
	// peer: cursors look again. Called by the apply goroutine; may be nil.
	Restored func(shard uint32)
	Dial     Dialer

	// Preferred names the region whose nodes should lead a shard; "" for any.
	Preferred func(shard uint32) string
	// PeerRegion is the region of a node, "" when it is not known.
	PeerRegion func(node string) string

	Heartbeat    time.Duration // raft heartbeat and election timeout; default 1 s, at least 100 ms
	WriteTimeout time.Duration // a write that takes longer is fatal; default 10 s

	SnapshotEntries  uint64 // entries after which the log is truncated; default 2048
	TrailingEntries  uint64 // entries kept behind, for followers that lag; default 512
	SnapshotInterval time.Duration
	SegmentBytes     int   // of the log's files, preallocated; default 8 MiB
	CacheBytes       int64 // of the store's block cache; default 64 MiB

	Disk DiskLimits

	// Fatal is called once, from any goroutine, when the process must end
	// because its disk cannot be trusted any more: a write that hung or failed,
	// a record that is damaged, a leader that cannot lead. It should not
	// return; when it does, the shards stop where they are.
	Fatal func(error)

	hooks hooks // faults, for tests
}

// DiskLimits say when a disk is too full. Each holds when both the fraction and
// the absolute number are undercut.
type DiskLimits struct {
	RefuseFraction float64 // proposals are refused below; default 0.10
	RefuseBytes    uint64  // default 4 GiB
	StopFraction   float64 // the node stops voting and leading below; default 0.03
	StopBytes      uint64  // default 512 MiB
	Ballast        int64   // bytes kept in a file that is removed when proposals are refused; default 0
}

// hooks inject faults where a test wants them. Nil functions are not called.
type hooks struct {
	store   func() error                // before the log is written
	failAt  func(step string) error     // at the steps of installing a snapshot
	statfs  func() (free, total uint64) // instead of asking the file system
	request int64                       // instead of maxRequest
	stall   time.Duration               // instead of maxStall
}

func (h *hooks) requestStall() time.Duration {
	if h.stall != 0 {
		return h.stall
	}
	return maxStall
}

func (h *hooks) requestBound() int64 {
	if h.request != 0 {
		return h.request
	}
	return maxRequest
}

func (h *hooks) at(step string) error {
	if h.failAt == nil {
		return nil
	}
	return h.failAt(step)
}

func (c *Config) defaults() error {
	switch {
	case c.Node == "" || c.Address == "" || c.Dir == "":
		return errors.New("replica needs a node id, an address and a data directory")
	case len(c.Shards) == 0:
		return errors.New("replica needs at least one shard")
	case c.Machine == nil || c.Codec == nil || c.Dial == nil || c.Fatal == nil:
		return errors.New("replica needs Machine, Codec, Dial and Fatal")
	}
	for _, s := range c.Shards {
		if s >= maxShard {
			return fmt.Errorf("shard %d is above the highest, %d", s, maxShard-1)
		}
	}
	setDefault(&c.Heartbeat, defaultHeartbeat)
	if c.Heartbeat < minHeartbeat {
		return fmt.Errorf("heartbeat %s is below %s: elections would follow each hiccup of the disk", c.Heartbeat, minHeartbeat)
	}
	setDefault(&c.WriteTimeout, defaultWriteTimeout)
	setDefault(&c.SnapshotEntries, defaultSnapshotEntries)
	setDefault(&c.TrailingEntries, defaultTrailingEntries)
	setDefault(&c.SnapshotInterval, defaultSnapshotInterval)
	setDefault(&c.SegmentBytes, defaultSegmentBytes)
	setDefault(&c.CacheBytes, defaultCacheBytes)
	setDefault(&c.Disk.RefuseFraction, 0.10)
	setDefault(&c.Disk.RefuseBytes, 4<<30)
	setDefault(&c.Disk.StopFraction, 0.03)
	setDefault(&c.Disk.StopBytes, 512<<20)
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
