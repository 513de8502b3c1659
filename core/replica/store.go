package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/barrage-im/barrage/core/machine"
)

// The store is one Pebble database for all shards of a node.
//
//	shard (2) generation (4) key…      the machine's key space
//	0xffff shard (2) 's'               position: see below
//	0xffff shard (2) 'f'               floor: the index up to which the log may be gone (8)
//
// A snapshot from a peer is loaded into the next generation; the position names
// the generation that counts, so that it changes in one write.
//
// It keeps no log of its own: what a crash takes is the end of what was
// committed to it, the position included, and raft's log has that still.
type store struct {
	db *pebble.DB
}

const (
	prefixLen      = 6
	metaShard      = 0xffff
	positionSchema = 1
	positionLen    = 1 + 4 + 8 + 8 + 8
	keyPosition    = 's'
	keyFloor       = 'f'
	maxBatchBytes  = 1 << 20 // of writes while a snapshot is loaded
	// memTableBytes is how much is gathered before it is written out: what a
	// room forgets meanwhile never is.
	memTableBytes   = 64 << 20
	storeOpenFiles  = 512
	storeFormat     = pebble.FormatNewest
	storeL0Stop     = 24
	storeL0Compact  = 4
	storeMemStopAll = 4
)

// position is how far a shard's state has come.
type position struct {
	generation uint32
	index      uint64 // of the last entry whose writes are in the state
	term       uint64 // of that entry
	restored   uint64 // the index that the last snapshot from a peer brought
}

func openStore(dir string, cacheBytes int64, log *slog.Logger, fatal func(error)) (*store, error) {
	opts := &pebble.Options{
		CacheSize:                   cacheBytes,
		MemTableSize:                memTableBytes,
		DisableWAL:                  true, // see store
		MemTableStopWritesThreshold: storeMemStopAll,
		L0CompactionThreshold:       storeL0Compact,
		L0StopWritesThreshold:       storeL0Stop,
		MaxOpenFiles:                storeOpenFiles,
		FormatMajorVersion:          storeFormat,
		Logger:                      pebbleLog{log, fatal},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { fatal(fmt.Errorf("state store: %w", err)) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				fatal(fmt.Errorf("state store %s: %w: %w", i.Path, ErrCorrupt, i.Details))
			},
			DiskSlow: func(i pebble.DiskSlowInfo) { log.Warn("slow disk", "path", i.Path, "duration", i.Duration) },
		},
	}
	// The top level is read and written again soon: not worth compressing.
	opts.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	db, err := pebble.Open(filepath.Join(dir, "state"), opts)
	if err != nil {
		return nil, fmt.Errorf("open state store: %w", err)
	}
	return &store{db: db}, nil
}

// close makes everything durable, so that the next start replays nothing.
func (s *store) close() error { return errors.Join(s.db.Flush(), s.db.Close()) }

func prefix(shard, generation uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(make([]byte, 0, prefixLen), uint16(shard)), generation)
}

func metaKey(shard uint32, kind byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 5), metaShard)
	return append(binary.BigEndian.AppendUint16(b, uint16(shard)), kind)
}

func (p position) append(dst []byte) []byte {
	dst = append(dst, positionSchema)
	dst = binary.BigEndian.AppendUint32(dst, p.generation)
	dst = binary.BigEndian.AppendUint64(dst, p.index)
	dst = binary.BigEndian.AppendUint64(dst, p.term)
	return binary.BigEndian.AppendUint64(dst, p.restored)
}

func parsePosition(b []byte) (position, error) {
	if len(b) > 0 && b[0] > positionSchema {
		return position{}, fmt.Errorf("state store has schema %d, this version knows %d: %w; start the newer version", b[0], positionSchema, ErrNewerSchema)
	}
	if len(b) != positionLen || b[0] != positionSchema {
		return position{}, fmt.Errorf("position of a shard: %w", ErrCorrupt)
	}
	return position{
		generation: binary.BigEndian.Uint32(b[1:]),
		index:      binary.BigEndian.Uint64(b[5:]),
		term:       binary.BigEndian.Uint64(b[13:]),
		restored:   binary.BigEndian.Uint64(b[21:]),
	}, nil
}

// position reads where a shard stands; the zero position when it is new.
func (s *store) position(shard uint32) (position, error) {
	v, ok, err := get(s.db, metaKey(shard, keyPosition))
	if err != nil || !ok {
		return position{}, err
	}
	return parsePosition(v)
}

func (s *store) floor(shard uint32) (uint64, error) {
	v, ok, err := get(s.db, metaKey(shard, keyFloor))
	if err != nil || !ok {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("floor of shard %d: %w", shard, ErrCorrupt)
	}
	return binary.BigEndian.Uint64(v), nil
}

// raiseFloor makes the state durable and records that the log up to index may
// go.
func (s *store) raiseFloor(shard uint32, index uint64) error {
	if err := s.db.Set(metaKey(shard, keyFloor), binary.BigEndian.AppendUint64(nil, index), pebble.NoSync); err != nil {
		return err
	}
	return s.db.Flush()
}

// switchTo makes another position the shard's, with all that was written for
// it, durably and in one write.
func (s *store) switchTo(shard uint32, to position) error {
	b := s.db.NewBatch()
	err := errors.Join(
		b.Set(metaKey(shard, keyPosition), to.append(nil), nil),
		b.Set(metaKey(shard, keyFloor), binary.BigEndian.AppendUint64(nil, to.index), nil))
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	return s.db.Flush()
}

// purge removes every generation of the shard but keep.
func (s *store) purge(shard, keep uint32) error {
	ranges := [][2][]byte{
		{prefix(shard, 0), prefix(shard, keep)},
		{prefix(shard, keep+1), prefix(shard+1, 0)},
	}
	for _, r := range ranges {
		empty, err := s.empty(r[0], r[1])
		if err != nil {
			return err
		}
		if empty {
			continue
		}
		if err := s.db.DeleteRange(r[0], r[1], pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) empty(lo, hi []byte) (bool, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, errors.Join(it.Error(), it.Close())
}

func get(r pebble.Reader, key []byte) ([]byte, bool, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	out := append([]byte(nil), v...)
	return out, true, closer.Close()
}

// reader is a machine.Reader over one generation of one shard.
type reader struct {
	r      pebble.Reader
	prefix []byte
}

var _ machine.Reader = reader{}

func (r reader) key(k []byte) []byte {
	return append(append(make([]byte, 0, len(r.prefix)+len(k)), r.prefix...), k...)
}

func (r reader) Get(key []byte) ([]byte, bool, error) { return get(r.r, r.key(key)) }

func (r reader) Scan(lo, hi []byte, reverse bool, visit func(key, value []byte) bool) (err error) {
	upper := r.key(hi)
	if hi == nil { // to the end of the key space
		upper = binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(r.prefix[2:])+1)
		upper = append(append([]byte(nil), r.prefix[:2]...), upper...)
	}
	it, err := r.r.NewIter(&pebble.IterOptions{LowerBound: r.key(lo), UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !visit(it.Key()[len(r.prefix):], value) {
			return nil
		}
	}
	return it.Error()
}

// batch is a machine.Batch that writes below a prefix.
type batch struct {
	b      *pebble.Batch
	prefix []byte
	buf    []byte
	err    error // the first; checked before the commit
}

var _ machine.Batch = (*batch)(nil)

func (w *batch) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *batch) key(k []byte) []byte {
	w.buf = append(append(w.buf[:0], w.prefix...), k...)
	return w.buf
}

func (w *batch) Set(key, value []byte) { w.keep(w.b.Set(w.key(key), value, nil)) }
func (w *batch) Delete(key []byte)     { w.keep(w.b.Delete(w.key(key), nil)) }

func (w *batch) DeleteRange(lo, hi []byte) {
	end := append(append(make([]byte, 0, len(w.prefix)+len(hi)), w.prefix...), hi...)
	w.keep(w.b.DeleteRange(w.key(lo), end, nil))
}

// snapshotReader is a reader that owns the snapshot it reads.
type snapshotReader struct {
	reader
	io.Closer
}

// pebbleLog passes the store's own log on, quietly.
type pebbleLog struct {
	log   *slog.Logger
	fatal func(error)
}

func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("state store", "message", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("state store", "message", fmt.Sprintf(format, args...))
}

// Fatalf is called when a write to the store's log failed; Pebble expects it
// not to return.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("state store: "+format, args...))
	select {}
}
