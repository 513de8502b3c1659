package replica

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// snapshots is a shard's raft.SnapshotStore. The state is in the store anyway,
// so a snapshot of our own is only a durable mark of how far the log may be
// truncated; opening it streams the state as it is at that moment, which may be
// newer than the mark. A snapshot from a peer is a file until it is restored.
type snapshots struct {
	shard *Shard
	dir   string

	mu       sync.Mutex // guards the fields below
	mark     *raft.SnapshotMeta
	received *receivedSnapshot // written completely, not restored yet
}

type receivedSnapshot struct {
	meta raft.SnapshotMeta
	path string
}

const (
	markFile       = "mark"
	markSchema     = 1
	receivedPrefix = "received-"
)

var _ raft.SnapshotStore = (*snapshots)(nil)

// openSnapshots reads the mark and removes what a crash left behind: a file
// that was not restored is asked for again.
func openSnapshots(dir string, shard *Shard) (*snapshots, error) {
	if err := makeDir(shard.node.cfg.Dir, dir); err != nil {
		return nil, err
	}
	s := &snapshots{shard: shard, dir: dir}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.Name() != markFile {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return nil, err
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.mark, err = parseMark(b)
	return s, err
}

// The mark is one schema byte, a CRC-32C and JSON.
func formatMark(meta *raft.SnapshotMeta) ([]byte, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32([]byte{markSchema}, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

func parseMark(b []byte) (*raft.SnapshotMeta, error) {
	if len(b) > 0 && b[0] > markSchema {
		return nil, fmt.Errorf("snapshot mark: %w", ErrNewerSchema)
	}
	if len(b) < 5 || binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli) {
		return nil, fmt.Errorf("snapshot mark: %w", ErrCorrupt)
	}
	var meta raft.SnapshotMeta
	if err := json.Unmarshal(b[5:], &meta); err != nil {
		return nil, fmt.Errorf("snapshot mark: %w: %w", ErrCorrupt, err)
	}
	return &meta, nil
}

// setMark makes meta the latest snapshot, durably.
func (s *snapshots) setMark(meta raft.SnapshotMeta) error {
	meta.Size = 0
	b, err := formatMark(&meta)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(s.dir, markFile), b); err != nil {
		return fmt.Errorf("write snapshot mark: %w", err)
	}
	s.mu.Lock()
	s.mark = &meta
	s.mu.Unlock()
	return nil
}

func (s *snapshots) index() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mark == nil {
		return 0
	}
	return s.mark.Index
}

// Create begins a snapshot: our own when FSM.Persist takes the sink, a peer's
// when its bytes are written to it.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

// List returns the mark.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mark == nil {
		return nil, nil
	}
	m := *s.mark
	return []*raft.SnapshotMeta{&m}, nil
}

func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	mark, received := s.mark, s.received
	s.mu.Unlock()
	switch {
	case received != nil && received.meta.ID == id:
		f, err := os.Open(received.path)
		if err != nil {
			return nil, nil, err
		}
		m := received.meta
		return &m, f, nil
	case mark != nil && mark.ID == id:
		return s.stream(*mark)
	}
	return nil, nil, fmt.Errorf("snapshot %q is not here any more", id)
}

// stream opens the state as it is now. Raft sends the size before the bytes, so
// they are counted first: two passes over one consistent view.
func (s *snapshots) stream(mark raft.SnapshotMeta) (*raft.SnapshotMeta, io.ReadCloser, error) {
	sh := s.shard
	snap := sh.node.store.db.NewSnapshot()
	v, ok, err := get(snap, metaKey(sh.id, keyPosition))
	pos := position{}
	if err == nil && ok {
		pos, err = parsePosition(v)
	}
	h := streamHeader{shard: sh.id, marker: mark.Index, applied: max(pos.index, mark.Index), term: max(pos.term, mark.Term)}
	if err == nil {
		mark.Size, err = writeStream(io.Discard, h, snap, prefix(sh.id, pos.generation))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("snapshot of shard %d: %w", sh.id, err), snap.Close())
	}
	sh.metrics.snapshotBytes.WithLabelValues("sent").Add(float64(mark.Size))
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := writeStream(pw, h, snap, prefix(sh.id, pos.generation))
		pw.CloseWithError(err)
	}()
	return &mark, &streamCloser{pr, func() error { <-done; return snap.Close() }}, nil
}

type streamCloser struct {
	*io.PipeReader
	then func() error
}

func (c *streamCloser) Close() error { return errors.Join(c.PipeReader.Close(), c.then()) }

// sink takes a snapshot: nothing but its place for one of our own.
type sink struct {
	s    *snapshots
	meta raft.SnapshotMeta

	own     bool // set by Persist: the state is in the store
	f       *os.File
	checked int64 // bytes received when the free space was looked at
	closed  bool
}

func (k *sink) ID() string { return k.meta.ID }

func (k *sink) Write(p []byte) (int, error) {
	if k.f == nil {
		k.meta.ID = receivedPrefix + k.meta.ID
		f, err := os.OpenFile(filepath.Join(k.s.dir, k.meta.ID), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return 0, err
		}
		k.f, k.checked = f, -spaceCheckEvery
	}
	if k.meta.Size-k.checked >= spaceCheckEvery {
		k.checked = k.meta.Size
		if k.s.shard.node.disk.refusing() {
			return 0, fmt.Errorf("receive snapshot: %w", ErrDiskFull)
		}
	}
	n, err := k.f.Write(p)
	k.meta.Size += int64(n)
	return n, err
}

func (k *sink) Close() error {
	if k.closed {
		return nil
	}
	k.closed = true
	if k.own {
		return k.s.setMark(k.meta)
	}
	if k.f == nil {
		return fmt.Errorf("empty snapshot: %w", ErrCorrupt)
	}
	if err := errors.Join(k.f.Sync(), k.f.Close()); err != nil {
		return errors.Join(err, os.Remove(k.f.Name()))
	}
	k.s.shard.metrics.snapshotBytes.WithLabelValues("received").Add(float64(k.meta.Size))
	k.s.mu.Lock()
	old := k.s.received
	k.s.received = &receivedSnapshot{meta: k.meta, path: k.f.Name()}
	k.s.mu.Unlock()
	if old != nil && old.path != k.f.Name() {
		return os.Remove(old.path)
	}
	return nil
}

func (k *sink) Cancel() error {
	if k.closed || k.f == nil {
		k.closed = true
		return nil
	}
	k.closed = true
	return errors.Join(k.f.Close(), os.Remove(k.f.Name()))
}

// installed makes the received snapshot the latest one, after the state was
// switched to it, and drops the file.
func (s *snapshots) installed() error {
	s.mu.Lock()
	r := s.received
	s.received = nil
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.meta.ID = strings.TrimPrefix(r.meta.ID, receivedPrefix)
	if err := s.setMark(r.meta); err != nil {
		return err
	}
	return os.Remove(r.path)
}

// abandon drops a received snapshot that could not be restored.
func (s *snapshots) abandon() {
	s.mu.Lock()
	r := s.received
	s.received = nil
	s.mu.Unlock()
	if r != nil {
		_ = os.Remove(r.path) // what stays is removed at the next start
	}
}

// writeFile replaces a file durably: either the old content or the new.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// makeDir makes dir and what lies between it and its ancestor root, durably.
func makeDir(root, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for d := dir; d != root; {
		d = filepath.Dir(d)
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
