package replica

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/barrage-im/barrage/core/machine"
)

func TestADataDirectoryHasOneProcessOneNodeAndOneCluster(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	if _, err := c.open("a", m.cfg.Dir, nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second process on the directory: %v", err)
	}
	if id, err := m.ClusterID(); id != "" || err != nil {
		t.Fatalf("cluster %q, %v", id, err)
	}
	for _, id := range []string{"k1", "k1"} {
		if err := m.SetClusterID(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SetClusterID("k2"); !errors.Is(err, ErrOtherCluster) {
		t.Fatalf("another cluster: %v", err)
	}
	c.stop("a")
	if _, err := c.open("b", m.cfg.Dir, nil); err == nil {
		t.Fatal("another node took over the directory")
	}
	m = c.must(c.restart(m, nil))
	if id, err := m.ClusterID(); id != "k1" || err != nil {
		t.Fatalf("after restart: cluster %q, %v", id, err)
	}
}

// segments returns the log's files, oldest first.
func segments(t *testing.T, m *member) []string {
	files, err := filepath.Glob(filepath.Join(m.cfg.Dir, "shard-1", "log", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	return files
}

// edit changes the bytes of a file at the last occurrence of mark.
func edit(t *testing.T, file, mark string, change func(b []byte, at int) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(b, []byte(mark))
	if at < 0 {
		t.Fatalf("%q is not in %s", mark, file)
	}
	if err := os.WriteFile(file, change(b, at), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageInTheLogIsNeverServed(t *testing.T) {
	t.Parallel()
	flip := func(b []byte, at int) []byte { b[at] ^= 1; return b }
	for _, k := range []struct{ name, at string }{{"in the middle", "entry-10"}, {"in the last record", "entry-29"}} {
		t.Run(k.name, func(t *testing.T) {
			c, m := one(t, nil)
			for i := range 30 {
				c.put(1, fmt.Sprint("entry-", i))
			}
			c.stop("a")
			edit(t, segments(t, m)[0], k.at, flip)
			_, err := c.restart(m, nil)
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("started on a damaged log: %v", err)
			}
			t.Log(err)
		})
	}
}

func TestATornTailIsCutOff(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	for i := range 30 {
		c.put(1, fmt.Sprint("entry-", i))
	}
	want := dump(m, 1)
	c.stop("a")
	// What a crash in the middle of a write leaves: half a frame, no commit.
	edit(t, segments(t, m)[0], "entry-29", func(b []byte, at int) []byte {
		end := at + len(bytes.TrimRight(b[at:], "\x00"))
		end += -end & 7 // frames are aligned
		copy(b[end:], []byte{1, 0, 0, 0, 200, 0, 0, 0, 'h', 'a', 'l', 'f'})
		return b
	})
	m = c.must(c.restart(m, nil))
	if got := dump(m, 1); !bytes.Equal(got, want) {
		t.Fatalf("got %s\nwant %s", got, want)
	}
	c.put(1, "more")
}

func TestADamagedRecordIsNeverSentOrStored(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	c.put(1, "x")
	s := m.Shard(1)
	var l raft.Log
	if err := s.logs.GetLog(s.AppliedIndex(), &l); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(l *raft.Log){
		"data":     func(l *raft.Log) { l.Data = append([]byte(nil), l.Data...); l.Data[0] ^= 1 },
		"index":    func(l *raft.Log) { l.Index++ },
		"term":     func(l *raft.Log) { l.Term++ },
		"type":     func(l *raft.Log) { l.Type = raft.LogNoop },
		"checksum": func(l *raft.Log) { l.Extensions = append([]byte(nil), l.Extensions...); l.Extensions[3] ^= 1 },
		"cut":      func(l *raft.Log) { l.Extensions = l.Extensions[:2] },
	} {
		bad := l
		damage(&bad)
		if err := verifySeal(&bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := l
	bad.Extensions = []byte{sealSchema + 1, 0, 0, 0, 0, 0}
	if err := verifySeal(&bad); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("newer: %v", err)
	}
	bad.Index++
	bad.Extensions = []byte{sealSchema, 0, 0, 0, 0}
	if err := s.logs.StoreLogs([]*raft.Log{&bad}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("stored a damaged record: %v", err)
	}
	if err := <-m.fatal; !errors.Is(err, ErrCorrupt) {
		t.Errorf("fatal: %v", err)
	}
}

func TestAWriteThatFailsIsFatalAndTheOthersElect(t *testing.T) {
	t.Parallel()
	var broken atomic.Pointer[string]
	c := newCluster(t, nil)
	var peers []Peer
	for _, id := range []string{"a", "b", "c"} {
		m := c.must(c.open(id, "", func(cfg *Config) {
			cfg.hooks.store = func() error {
				if b := broken.Load(); b != nil && *b == id {
					return unix.EIO
				}
				return nil
			}
		}))
		peers = append(peers, Peer{ID: id, Address: m.cfg.Address, Voter: true})
	}
	if err := c.nodes["a"].Bootstrap(peers); err != nil {
		t.Fatal(err)
	}
	old := c.leader(1)
	broken.Store(&old.cfg.Node)
	if a := submit(old, 1, "into the void"); !errors.Is(a.err, ErrUnknown) {
		t.Fatalf("on a broken disk: %v", a.err)
	}
	if err := <-old.fatal; !errors.Is(err, unix.EIO) {
		t.Fatalf("fatal: %v", err)
	}
	c.stop(old.cfg.Node) // as the process would
	c.put(1, "on the others")
	c.equal(1)
}

func TestAWriteThatHangsIsFatal(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var hanging atomic.Bool
	c, m := one(t, func(cfg *Config) {
		cfg.WriteTimeout = 200 * time.Millisecond
		cfg.hooks.store = func() error {
			if hanging.Load() {
				<-hang
			}
			return nil
		}
	})
	_ = c
	hanging.Store(true)
	answered := make(chan answer, 1)
	m.Shard(1).Submit(tallySection("x"), func(i int, e any, err error) { answered <- answer{i, e, err} })
	select {
	case err := <-m.fatal:
		t.Log(err)
	case <-time.After(10 * time.Second):
		t.Fatal("a hanging write went unnoticed")
	}

	// While it hangs, what waits is bounded.
	big := tallySection(string(make([]byte, MaxSection/2)))
	refused := make(chan error, 100)
	for range 2*maxPending/len(big) + 2 {
		m.Shard(1).Submit(big, func(_ int, _ any, err error) { refused <- err })
	}
	if err := <-refused; !errors.Is(err, ErrOverloaded) {
		t.Fatalf("above the bound: %v", err)
	}
	close(hang)
	<-answered
}

func TestASectionThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	_, m := one(t, nil)
	if a := submit(m, 1, string(make([]byte, MaxSection))); !errors.Is(a.err, ErrTooLarge) {
		t.Fatal(a.err)
	}
}

func TestPoisonStopsTheReplicaAndIsNotSkipped(t *testing.T) {
	t.Parallel()
	c, m := one(t, func(cfg *Config) {
		codec := cfg.Codec
		cfg.Codec = func(s uint32) Codec {
			k := codec(s)
			k.Frame = func(dst []byte, ms int64, sections []byte) []byte {
				if bytes.Contains(sections, []byte("poison")) {
					return append(dst, "short"...)
				}
				return tallyFrame(dst, ms, sections)
			}
			return k
		}
	})
	c.put(1, "good")
	before := m.Shard(1).AppliedIndex()
	if a := submit(m, 1, "poison"); !errors.Is(a.err, ErrUnknown) {
		t.Fatalf("poison: %v", a.err)
	}
	t.Log(<-m.fatal)
	if a := submit(m, 1, "good again"); a.err == nil {
		t.Fatal("applied behind an entry that was not")
	}
	if got := m.Shard(1).AppliedIndex(); got != before {
		t.Fatalf("applied %d, was %d", got, before)
	}
}

func TestANearlyFullDiskRefusesFirstAndLeavesTheVoteLater(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(50 << 30)
	var full atomic.Pointer[string]
	c := newCluster(t, nil)
	var peers []Peer
	for _, id := range []string{"a", "b", "c"} {
		m := c.must(c.open(id, "", func(cfg *Config) {
			cfg.Disk.Ballast = 1 << 20
			cfg.WriteTimeout = time.Second // the disk is looked at twice as often
			cfg.hooks.statfs = func() (uint64, uint64) {
				if f := full.Load(); f != nil && *f == id {
					return free.Load(), 100 << 30
				}
				return 50 << 30, 100 << 30
			}
		}))
		peers = append(peers, Peer{ID: id, Address: m.cfg.Address, Voter: true})
	}
	if err := c.nodes["a"].Bootstrap(peers); err != nil {
		t.Fatal(err)
	}
	old := c.leader(1)
	ballast := filepath.Join(old.cfg.Dir, ballastFile)
	if st, err := os.Stat(ballast); err != nil || st.Size() != 1<<20 {
		t.Fatalf("ballast: %v", err)
	}
	free.Store(3 << 30)
	full.Store(&old.cfg.Node)
	eventually(t, "proposals refused", func() bool { return errors.Is(submit(old, 1, "x").err, ErrDiskFull) })
	if _, err := os.Stat(ballast); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the ballast is still there: %v", err)
	}
	if st := old.Shard(1).Status().State; st == "stopped" {
		t.Fatal("refusing proposals took the node out of the vote")
	}
	free.Store(50 << 30)
	eventually(t, "proposals taken again", func() bool { return !errors.Is(submit(old, 1, "x").err, ErrDiskFull) })

	free.Store(100 << 20)
	eventually(t, "the node to leave the vote", func() bool { return old.Shard(1).Status().State == "stopped" })
	c.put(1, "on the others")
	if c.leader(1) == old {
		t.Fatal("a node without disk leads")
	}
}

func TestARealFullDiskRefusesAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("mounts a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256m"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	c := newCluster(t, func(cfg *Config) {
		cfg.WriteTimeout = 200 * time.Millisecond // looks at the disk more often
		cfg.Disk.RefuseFraction = 0.5
	})
	m := c.must(c.open("a", filepath.Join(dir, "a"), nil))
	if err := m.Bootstrap([]Peer{{ID: "a", Address: m.cfg.Address, Voter: true}}); err != nil {
		t.Fatal(err)
	}
	c.leader(1)
	acked := 0
	body := string(make([]byte, 16<<10))
	for {
		a := submit(m, 1, body)
		if errors.Is(a.err, ErrDiskFull) {
			break
		}
		if a.err != nil {
			t.Fatalf("after %d: %v", acked, a.err)
		}
		acked++
	}
	select {
	case err := <-m.fatal:
		t.Fatalf("the disk was full before proposals were refused: %v", err)
	default:
	}
	c.stop("a")
	m = c.must(c.restart(m, func(cfg *Config) { cfg.Disk = DiskLimits{RefuseFraction: 0.01} }))
	c.leader(1)
	if n := count(m, 1); n < uint64(acked) {
		t.Fatalf("%d sections after restart, %d were acknowledged", n, acked)
	}
}

func TestTheLeaderTicksWhenTheMachineIsDue(t *testing.T) {
	t.Parallel()
	var ticks atomic.Int64
	_, m := one(t, func(cfg *Config) {
		cfg.Machine = func(uint32) machine.Machine { return &tally{due: 1} }
		codec := cfg.Codec
		cfg.Codec = func(s uint32) Codec {
			k := codec(s)
			k.Tick = func() []byte { ticks.Add(1); return tallySection("tick") }
			return k
		}
	})
	_ = m
	eventually(t, "two ticks", func() bool { return ticks.Load() >= 2 })
}
