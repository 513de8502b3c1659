package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// castagnoli is CRC-32C, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	sealSchema = 1
	sealLen    = 1 + 4
)

// seal is a log record's own checksum over everything that identifies it. It
// travels in Log.Extensions: from the leader that made the record to every
// disk, and is verified wherever the record is stored, read or applied. raft-wal
// checks the tail only, and only when it opens.
func seal(l *raft.Log) []byte {
	return binary.BigEndian.AppendUint32([]byte{sealSchema}, sealSum(l))
}

func sealSum(l *raft.Log) uint32 {
	var head [17]byte
	binary.BigEndian.PutUint64(head[0:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	return crc32.Update(crc32.Update(0, castagnoli, head[:]), castagnoli, l.Data)
}

func verifySeal(l *raft.Log) error {
	switch e := l.Extensions; {
	case len(e) > 0 && e[0] > sealSchema:
		return fmt.Errorf("log record %d: %w", l.Index, ErrNewerSchema)
	case len(e) != sealLen || e[0] != sealSchema || binary.BigEndian.Uint32(e[1:]) != sealSum(l):
		return fmt.Errorf("log record %d: %w", l.Index, ErrCorrupt)
	}
	return nil
}

// guardedLog is a shard's log and stable store. A write that fails or hangs,
// and a record that is damaged, are fatal: raft itself would go on with a wrong
// idea of its log (a follower), or be elected again and again (a leader), or
// never notice (a hang keeps the heartbeats going).
type guardedLog struct {
	*wal.WAL
	shard   uint32
	of      *Shard
	hook    func() error
	fatal   func(error)
	metrics *shardMetrics

	writing atomic.Int64 // Unix nanoseconds when the write in progress began; 0 none
}

var (
	_ raft.LogStore          = (*guardedLog)(nil)
	_ raft.StableStore       = (*guardedLog)(nil)
	_ raft.MonotonicLogStore = (*guardedLog)(nil)
)

func openLog(dir string, segment int, log hcLog) (*wal.WAL, error) {
	w, err := wal.Open(dir, wal.WithSegmentSize(segment), wal.WithLogger(log))
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return w, nil
}

// write runs one write under the watchdog's eye.
func (g *guardedLog) write(what string, f func() error) error {
	g.writing.Store(time.Now().UnixNano())
	err := f()
	g.writing.Store(0)
	if err != nil {
		err = fmt.Errorf("shard %d: %s: %w", g.shard, what, err)
		g.fatal(err)
	}
	return err
}

// hung says for how long the write in progress has been going on.
func (g *guardedLog) hung(now time.Time) time.Duration {
	began := g.writing.Load()
	if began == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, began))
}

func (g *guardedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

func (g *guardedLog) StoreLogs(logs []*raft.Log) error {
	return g.write("write log", func() error {
		for _, l := range logs {
			if len(l.Extensions) == 0 { // we are the leader and made it just now
				l.Extensions = seal(l)
			} else if err := verifySeal(l); err != nil {
				return fmt.Errorf("from the leader: %w", err)
			}
		}
		start := time.Now()
		if g.hook != nil {
			if err := g.hook(); err != nil {
				return err
			}
		}
		err := g.WAL.StoreLogs(logs)
		g.metrics.fsync.Observe(time.Since(start).Seconds())
		if err == nil {
			plantedStored(g.of, logs)
		}
		return err
	})
}

func (g *guardedLog) GetLog(index uint64, l *raft.Log) error {
	// raft-wal still finds truncated records while their segment is the last.
	if first, err := g.FirstIndex(); err == nil && index < first {
		return raft.ErrLogNotFound
	}
	err := g.WAL.GetLog(index, l)
	if errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, wal.ErrClosed) {
		return err
	}
	if err == nil {
		err = verifySeal(l)
	}
	if err != nil {
		err = damaged(g.shard, err)
		g.fatal(err)
	}
	return err
}

func damaged(shard uint32, err error) error {
	return fmt.Errorf("shard %d: %w; to repair: stop this node, remove its data directory and let it join under a new id", shard, err)
}

func (g *guardedLog) DeleteRange(lo, hi uint64) error {
	return g.write("truncate log", func() error { return g.WAL.DeleteRange(lo, hi) })
}

func (g *guardedLog) Set(key, val []byte) error {
	return g.write("write vote", func() error { return g.WAL.Set(key, val) })
}

func (g *guardedLog) SetUint64(key []byte, val uint64) error {
	return g.write("write term", func() error { return g.WAL.SetUint64(key, val) })
}
