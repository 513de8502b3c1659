package replica

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// fsm is the thin adapter between raft's apply goroutine and the machine.
type fsm struct{ *Shard }

var (
	_ raft.FSM                = fsm{}
	_ raft.BatchingFSM        = fsm{}
	_ raft.ConfigurationStore = fsm{}
)

// StoreConfiguration is never called, ApplyBatch gets configurations; it is
// here because raft asks for it before it counts them as applied.
func (f fsm) StoreConfiguration(uint64, raft.Configuration) {}

func (f fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// failed is the response to an entry that could not be applied.
type failed struct{ err error }

// applied is the effects of one entry, until the Applied callback.
type applied struct {
	index   uint64
	effects any
}

// ApplyBatch applies entries and stores their writes and the last one's index
// in one batch, without waiting for the disk: what a crash takes away is still
// in the log and applied again.
func (f fsm) ApplyBatch(logs []*raft.Log) []any {
	s := f.Shard
	out := make([]any, len(logs))
	start := time.Now()
	s.view.Lock()
	done, err := s.applyLocked(logs, out)
	s.view.Unlock()
	if err != nil {
		// Nothing of this batch is stored, so nothing of it counts; and since the
		// machine may be ahead of the store now, nothing is applied any more.
		for i := range out {
			out[i] = failed{err}
		}
		s.node.fatal(err)
		return out
	}
	s.metrics.apply.Observe(time.Since(start).Seconds())
	if report := s.node.cfg.Applied; report != nil {
		for _, a := range done {
			report(s.id, a.index, a.effects)
		}
	}
	return out
}

func (s *Shard) applyLocked(logs []*raft.Log, out []any) (done []applied, err error) {
	if s.broken != nil {
		return nil, s.broken
	}
	defer func() { s.broken = err }()
	pos := s.position
	b := s.node.store.db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	w := &batch{b: b, prefix: prefix(s.id, pos.generation)}
	for i, l := range logs {
		if l.Index <= pos.index {
			s.metrics.skipped.Inc()
			continue // in the state already: replayed by a restart, or newer than its snapshot's mark
		}
		if err := verifySeal(l); err != nil {
			return nil, damaged(s.id, err)
		}
		if l.Type == raft.LogCommand {
			effects, err := s.machine.Apply(l.Index, l.Data, w)
			if err != nil {
				return nil, fmt.Errorf("shard %d cannot apply entry %d: %w; upgrade this node if the entry is of a newer version, else remove its data directory and let it join under a new id", s.id, l.Index, err)
			}
			out[i] = effects
			done = append(done, applied{l.Index, effects})
		}
		pos.index, pos.term = l.Index, l.Term
	}
	if pos == s.position {
		return nil, nil
	}
	w.keep(b.Set(metaKey(s.id, keyPosition), pos.append(nil), nil))
	if w.err == nil {
		w.err = b.Commit(pebble.NoSync)
	}
	if w.err != nil {
		return nil, fmt.Errorf("shard %d: write state: %w", s.id, w.err)
	}
	s.setPosition(pos)
	s.due.Store(s.machine.Due())
	return done, nil
}

// Snapshot costs nothing: the state is in the store.
func (f fsm) Snapshot() (raft.FSMSnapshot, error) {
	return ownSnapshot(f), f.stopped()
}

// stopped says why nothing is applied any more, nil if things are.
func (s *Shard) stopped() error {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.broken
}

type ownSnapshot struct{ *Shard }

// Persist makes the store durable before raft may truncate the log behind the
// mark.
func (o ownSnapshot) Persist(k raft.SnapshotSink) error {
	s, ok := k.(*sink)
	if !ok {
		return fmt.Errorf("foreign sink %T", k)
	}
	if err := o.node.store.raiseFloor(o.id, s.meta.Index); err != nil {
		err = fmt.Errorf("shard %d: sync state: %w", o.id, err)
		o.node.fatal(err)
		return err
	}
	s.own = true
	if err := s.Close(); err != nil {
		o.node.fatal(err)
		return err
	}
	return nil
}

func (ownSnapshot) Release() {}

// Restore replaces the state by a snapshot from a peer. It loads it beside the
// present one, switches in one synced write, and only then removes the old: a
// crash at any step leaves either, and what is left over goes at the next start.
func (f fsm) Restore(src io.ReadCloser) error {
	defer src.Close()
	err := f.restore(src)
	if err != nil {
		f.snaps.abandon()
		f.log.Error("snapshot refused", "shard", f.id, "error", err)
		return err
	}
	if report := f.node.cfg.Restored; report != nil {
		report(f.id)
	}
	return nil
}

func (s *Shard) restore(src io.Reader) error {
	var head [headerLen]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return cut(err)
	}
	h, err := parseStreamHeader(head[:])
	if err != nil {
		return err
	}
	if h.shard != s.id {
		return fmt.Errorf("snapshot is of shard %d, not %d: %w", h.shard, s.id, ErrCorrupt)
	}
	old := s.position
	if old.index >= h.applied {
		// A crash came between switching the state and marking it: raft asks
		// again for what the state holds already.
		if err := s.stopped(); err != nil {
			return err
		}
		if err := s.node.store.raiseFloor(s.id, old.index); err != nil {
			return err
		}
		return s.snaps.installed()
	}
	next := position{generation: old.generation + 1, index: h.applied, term: h.term, restored: h.applied}
	db := s.node.store.db
	// A restore that failed may have left pairs there.
	if err := db.DeleteRange(prefix(s.id, next.generation), prefix(s.id, next.generation+1), pebble.NoSync); err != nil {
		return err
	}
	if err := s.loadAside(src, next.generation); err != nil {
		return errors.Join(err, s.node.store.purge(s.id, old.generation))
	}
	if err := s.node.cfg.hooks.at("loaded"); err != nil {
		return err
	}

	s.view.Lock()
	defer s.view.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.machine.Load(reader{db, prefix(s.id, next.generation)}); err != nil {
		err = fmt.Errorf("load snapshot: %w", err)
		if back := s.machine.Load(reader{db, prefix(s.id, old.generation)}); back != nil {
			s.broken = errors.Join(err, back)
			s.node.fatal(s.broken)
		}
		return err
	}
	if err := s.switchTo(next); err != nil {
		s.broken = err
		s.node.fatal(fmt.Errorf("shard %d: install snapshot: %w", s.id, err))
		return err
	}
	return nil
}

// switchTo makes next the state, with the machine loaded already.
func (s *Shard) switchTo(next position) error {
	if err := s.node.store.switchTo(s.id, next); err != nil {
		return err
	}
	s.setPosition(next)
	s.due.Store(s.machine.Due())
	if err := s.node.cfg.hooks.at("switched"); err != nil {
		return err
	}
	if err := s.snaps.installed(); err != nil {
		return err
	}
	if err := s.node.cfg.hooks.at("marked"); err != nil {
		return err
	}
	return s.node.store.purge(s.id, next.generation)
}

func (s *Shard) loadAside(src io.Reader, generation uint32) error {
	b := s.node.store.db.NewBatch()
	w := &batch{b: b, prefix: prefix(s.id, generation)}
	defer func() { _ = b.Close() }() // an abandoned batch holds nothing
	err := readStream(src, func(key, value []byte) error {
		w.Set(key, value)
		if w.err != nil || b.Len() < maxBatchBytes {
			return w.err
		}
		if s.node.disk.refusing() {
			return fmt.Errorf("load snapshot: %w", ErrDiskFull)
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			return err
		}
		b.Reset()
		return s.node.cfg.hooks.at("chunk")
	})
	if err != nil {
		return err
	}
	return b.Commit(pebble.NoSync)
}
