package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/barrage-im/barrage/core/machine"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A Shard is this node's replica of one raft group.
type Shard struct {
	// Set by openShard, never changed.
	id      uint32
	node    *Node
	log     *slog.Logger
	codec   Codec
	machine machine.Machine
	metrics *shardMetrics
	raft    *raft.Raft
	start   uint64 // the last index in the log when raft started
	logs    *guardedLog
	snaps   *snapshots
	layer   *streamLayer
	trans   *raft.NetworkTransport
	notify  chan bool // leadership, from raft

	proposer *proposer
	tellers  tellers

	// view guards the machine, position and broken. The apply goroutine writes
	// under it; View reads under it.
	view     sync.RWMutex
	position position
	broken   error // why nothing is applied any more

	applied atomic.Uint64 // position.index, for readers without the lock
	due     atomic.Int64  // machine.Due, likewise

	leadership
}

// openShard opens the log, loads the state and starts raft.
func openShard(n *Node, id uint32) (_ *Shard, err error) {
	dir := filepath.Join(n.cfg.Dir, fmt.Sprintf("shard-%d", id))
	walDir := filepath.Join(dir, "log")
	if err := makeDir(n.cfg.Dir, walDir); err != nil {
		return nil, err
	}
	s := &Shard{
		id: id, node: n, log: n.log, codec: n.cfg.Codec(id), machine: n.cfg.Machine(id),
		metrics: n.metrics.shard(id), notify: make(chan bool, 16),
	}
	s.leadership.changed = make(chan struct{})
	if s.codec.Frame == nil {
		return nil, fmt.Errorf("shard %d has no codec", id)
	}
	w, err := openLog(walDir, n.cfg.SegmentBytes, hcLog{log: n.log, name: "log"})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	s.logs = &guardedLog{WAL: w, shard: id, of: s, hook: n.cfg.hooks.store, fatal: n.fatal, metrics: s.metrics}
	if s.snaps, err = openSnapshots(filepath.Join(dir, "snapshots"), s); err != nil {
		return nil, err
	}
	if err := s.loadState(); err != nil {
		return nil, err
	}
	s.proposer = newProposer(s)
	s.tellers.busy = map[raft.ServerID]bool{}
	if err := s.startRaft(); err != nil {
		return nil, err
	}
	return s, nil
}

// loadState brings log, mark and state together again. Each may lag behind the
// others after a crash, within the bounds that the order of writes sets; what
// lies outside of them was lost or damaged.
func (s *Shard) loadState() error {
	store := s.node.store
	pos, err := store.position(s.id)
	if err != nil {
		return err
	}
	floor, err := store.floor(s.id)
	if err != nil {
		return err
	}
	first, err := s.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return err
	}
	mark := s.snaps.index()
	switch {
	case mark > floor:
		return damaged(s.id, fmt.Errorf("the state store ends at %d, the log was truncated up to %d: %w", max(pos.index, floor), mark, ErrCorrupt))
	case pos.index > last && pos.index > pos.restored && pos.index > mark:
		// Entries are in the log, durably, before they are applied.
		return damaged(s.id, fmt.Errorf("the log ends at %d, but %d was applied: %w", last, pos.index, ErrCorrupt))
	}
	if last > 0 && mark > last {
		// A crash came between marking a peer's snapshot and clearing the log.
		if err := s.logs.DeleteRange(first, last); err != nil {
			return err
		}
	}
	if err := store.purge(s.id, pos.generation); err != nil {
		return err
	}
	if err := s.machine.Load(reader{store.db, prefix(s.id, pos.generation)}); err != nil {
		return fmt.Errorf("load state of shard %d: %w", s.id, err)
	}
	s.setPosition(pos)
	s.due.Store(s.machine.Due())
	return nil
}

// setPosition is called under view, or before anybody else knows the shard.
func (s *Shard) setPosition(p position) {
	s.position = p
	s.applied.Store(p.index)
}

func (s *Shard) startRaft() (err error) {
	n := s.node
	logger := hcLog{log: n.log, args: []any{"shard", s.id}, told: &told{at: map[string]time.Time{}}}
	s.layer = newStreamLayer(n, s.id)
	s.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s.layer, MaxPool: 3, Timeout: rpcTimeout, Logger: logger, MsgpackUseNewTimeFormat: true,
	})
	defer func() {
		if r := recover(); r != nil { // raft panics on a log record that it cannot read
			var ok bool
			if err, ok = r.(error); !ok {
				panic(r)
			}
		}
		if err != nil {
			s.closeTransport()
		}
	}()
	cache, err := raft.NewLogCache(logCache, s.logs)
	if err != nil {
		return err
	}
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.cfg.Node)
	cfg.HeartbeatTimeout = n.cfg.Heartbeat
	cfg.ElectionTimeout = n.cfg.Heartbeat
	cfg.LeaderLeaseTimeout = n.cfg.Heartbeat * 4 / 5
	cfg.CommitTimeout = commitTimeout
	cfg.MaxAppendEntries = appendEntries
	// BatchApplyCh stays off: entries are packed already, and what lies in that
	// buffer when raft shuts down is never answered.
	cfg.TrailingLogs = n.cfg.TrailingEntries
	cfg.SnapshotThreshold = n.cfg.SnapshotEntries
	cfg.SnapshotInterval = n.cfg.SnapshotInterval
	cfg.NoSnapshotRestoreOnStart = true // the store has it
	cfg.ShutdownOnRemove = false        // a removed node keeps answering Status
	cfg.NoLegacyTelemetry = true
	cfg.NotifyCh = s.notify
	cfg.Logger = logger
	if s.raft, err = raft.NewRaft(cfg, fsm{s}, cache, s.logs, s.snaps, s.trans); err != nil {
		return err
	}
	s.start = s.raft.LastIndex()
	return nil
}

func (s *Shard) closeTransport() {
	s.trans.CloseStreams()
	_ = s.trans.Close() // always nil
}

// errAbandoned: a shard could not be stopped, and what it uses stays open.
var errAbandoned = errors.New("left running")

// shutdown stops raft and waits for it, unless a fatal error has stopped it.
func (s *Shard) shutdown() error {
	s.proposer.stop(ErrClosed)
	s.closeTransport()
	done := make(chan error, 1)
	go func() { done <- s.raft.Shutdown().Error() }()
	var err error
	select {
	case err = <-done:
	case <-s.node.dead:
		select {
		case err = <-done:
		case <-time.After(closeTimeout):
			// A write hangs below raft. The process is about to end; closing the
			// log would hang as well.
			return fmt.Errorf("shard %d: %w: %w", s.id, errAbandoned, s.node.fatalErr())
		}
	}
	s.proposer.wait()
	return errors.Join(err, s.logs.Close())
}

// ID is the shard's number.
func (s *Shard) ID() uint32 { return s.id }

// View calls f with the machine and a reader of its state, both as of the same
// entry. No entry is applied meanwhile, so f is short. Neither argument may be
// used after f returns.
func (s *Shard) View(f func(m machine.Machine, r machine.Reader)) {
	s.view.RLock()
	defer s.view.RUnlock()
	f(s.machine, reader{s.node.store.db, prefix(s.id, s.position.generation)})
}

// Reader opens a consistent view of the state as it is now, for long reads. It
// keeps old files on disk until it is closed.
func (s *Shard) Reader() (machine.Reader, io.Closer) {
	s.view.RLock()
	defer s.view.RUnlock()
	snap := s.node.store.db.NewSnapshot()
	r := snapshotReader{reader{snap, prefix(s.id, s.position.generation)}, snap}
	return r, r
}

// CaughtUp says whether the state holds what the log held when the node started:
// before that it is older than what this node has answered earlier.
func (s *Shard) CaughtUp() bool {
	return s.raft.AppliedIndex() >= min(s.start, s.raft.LastIndex()) // a leader may have taken the end back
}

// AppliedIndex is the index of the last entry that changed the state.
func (s *Shard) AppliedIndex() uint64 { return s.applied.Load() }

// Snapshot makes the store durable and truncates the log now.
func (s *Shard) Snapshot(ctx context.Context) error {
	err := wait(ctx, s.raft.Snapshot())
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// Status describes the replica, for people.
func (s *Shard) Status() *rpc.ShardStatus {
	id, _, _ := s.Leader()
	st := &rpc.ShardStatus{
		Shard: s.id, Leader: id, Term: s.raft.CurrentTerm(), LastIndex: s.raft.LastIndex(),
		CommitIndex: s.raft.CommitIndex(), AppliedIndex: s.AppliedIndex(), SnapshotIndex: s.snaps.index(),
		Bytes: s.bytes(),
	}
	for _, p := range s.Peers() {
		if p.Voter {
			st.Voters = append(st.Voters, p.ID)
		} else {
			st.Nonvoters = append(st.Nonvoters, p.ID)
		}
	}
	switch s.raft.State() {
	case raft.Leader:
		st.State = "leader"
	case raft.Candidate:
		st.State = "candidate"
	case raft.Follower:
		st.State = "learner"
		for _, v := range st.Voters {
			if v == s.node.cfg.Node {
				st.State = "follower"
			}
		}
	case raft.Shutdown:
		st.State = "stopped"
	}
	return st
}

// bytes is what log and state take on disk, roughly.
func (s *Shard) bytes() uint64 {
	var total uint64
	_ = filepath.WalkDir(filepath.Join(s.node.cfg.Dir, fmt.Sprintf("shard-%d", s.id)), func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				total += uint64(i.Size())
			}
		}
		return nil // a file that has just gone does not matter here
	})
	if n, err := s.node.store.db.EstimateDiskUsage(prefix(s.id, 0), prefix(s.id+1, 0)); err == nil {
		total += n
	}
	return total
}

// wait waits for a raft future or the context.
func wait(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }() // raft answers every future, at the latest when it shuts down
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
