package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// streamOf makes a snapshot stream of some pairs and returns them, too.
func streamOf(t testing.TB, pairs int) ([]byte, map[string]string) {
	db, err := pebble.Open(t.TempDir(), &pebble.Options{Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := map[string]string{}
	random := rand.New(rand.NewPCG(1, 2))
	p := prefix(7, 3)
	for i := range pairs {
		k, v := fmt.Sprintf("key-%06d", i), make([]byte, random.IntN(300))
		for j := range v {
			v[j] = byte(random.Uint32())
		}
		want[k] = string(v)
		if err := db.Set(append(bytes.Clone(p), k...), v, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range [][]byte{prefix(7, 2), prefix(7, 4), prefix(6, 3), prefix(8, 0)} {
		if err := db.Set(append(other, "foreign"...), nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	h := streamHeader{shard: 7, marker: 40, applied: 50, term: 3}
	n, err := writeStream(&out, h, db, p)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("wrote %d bytes, said %d: %v", out.Len(), n, err)
	}
	return out.Bytes(), want
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

func readAll(b []byte) (map[string]string, error) {
	if _, err := parseStreamHeader(b); err != nil {
		return nil, err
	}
	got := map[string]string{}
	err := readStream(bytes.NewReader(b[headerLen:]), func(k, v []byte) error {
		got[string(k)] = string(v)
		return nil
	})
	return got, err
}

func TestASnapshotStreamCarriesExactlyTheShard(t *testing.T) {
	t.Parallel()
	for _, pairs := range []int{0, 1, 5000} {
		b, want := streamOf(t, pairs)
		got, err := readAll(b)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d pairs: got %d: %v", pairs, len(got), err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%s differs", k)
			}
		}
	}
}

func TestADamagedSnapshotIsNeverTaken(t *testing.T) {
	t.Parallel()
	b, _ := streamOf(t, 20)
	for i := range b {
		if _, err := readAll(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(b)
		bad[i] ^= 1 << (i % 8)
		if _, err := readAll(bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerSchema) {
			t.Fatalf("flipped at %d: %v", i, err)
		}
	}
	if _, err := readAll(append(bytes.Clone(b), 0)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("one byte too many: %v", err)
	}
	newer := bytes.Clone(b)
	newer[len(streamMagic)]++
	if _, err := readAll(newer); !errors.Is(err, ErrNewerSchema) {
		t.Fatalf("of the future: %v", err)
	}
	// A chunk that claims more than it may is refused before it is read.
	if err := readStream(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}), nil); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("4 GiB chunk: %v", err)
	}
}

func FuzzReadStream(f *testing.F) {
	b, _ := streamOf(f, 5)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readAll(b)
		if err == nil && len(got) > len(b) {
			t.Fatalf("%d pairs out of %d bytes", len(got), len(b))
		}
	})
}

var errCrash = errors.New("crash")

// A node that ends at any step of installing a snapshot has the old state or
// the new one when it starts again, catches up, and leaves nothing behind.
func TestInstallingASnapshotSurvivesACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"chunk", "loaded", "switched", "marked"} {
		if testing.Short() && step != "switched" {
			continue
		}
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, func(cfg *Config) { cfg.TrailingEntries = 5 })
			a := c.must(c.open("a", "", nil))
			if err := a.Bootstrap([]Peer{{ID: "a", Address: a.cfg.Address, Voter: true}}); err != nil {
				t.Fatal(err)
			}
			c.leader(1)
			big := string(make([]byte, 400<<10)) // several batches of a restore
			for i := range 6 {
				c.put(1, fmt.Sprint(i, big))
			}
			if err := a.Shard(1).Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			var crashed atomic.Bool
			hit := make(chan struct{})
			b := c.must(c.open("b", "", func(cfg *Config) {
				cfg.hooks.failAt = func(at string) error {
					if crashed.Load() || at == step {
						if crashed.CompareAndSwap(false, true) {
							close(hit)
						}
						return errCrash
					}
					return nil
				}
			}))
			if err := a.Shard(1).AddPeer(t.Context(), Peer{ID: "b", Address: b.cfg.Address}); err != nil {
				t.Fatal(err)
			}
			<-hit
			c.stop("b")
			b = c.must(c.restart(b, nil))
			c.put(1, "after")
			c.equal(1)

			c.stop("b")
			left, err := filepath.Glob(filepath.Join(b.cfg.Dir, "shard-1", "snapshots", "*"))
			if err != nil || len(left) > 1 || len(left) == 1 && filepath.Base(left[0]) != markFile {
				t.Fatalf("left behind: %v %v", left, err)
			}
			b = c.must(c.restart(b, nil))
			gen := b.Shard(1).position.generation
			for _, r := range [][2][]byte{{prefix(1, 0), prefix(1, gen)}, {prefix(1, gen+1), prefix(2, 0)}} {
				if empty, err := b.store.empty(r[0], r[1]); err != nil || !empty {
					t.Fatalf("other generations than %d are left (%v)", gen, err)
				}
			}
		})
	}
}

// A reader that was opened before a snapshot was installed goes on reading
// what it began with.
func TestAReaderSeesOneMoment(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	c.put(1, "first")
	r, closer := m.Shard(1).Reader()
	defer closer.Close()
	count := func() (n int) {
		if err := r.Scan([]byte("s/"), []byte("s0"), false, func(_, _ []byte) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	c.put(1, "second")
	if after := count(); after != before {
		t.Fatalf("%d pairs, then %d", before, after)
	}
	var keys []string
	if err := r.Scan([]byte("s/"), []byte("s0"), true, func(k, _ []byte) bool { keys = append(keys, string(k)); return len(keys) < 2 }); err != nil {
		t.Fatal(err)
	}
	if len(keys) != 2 || keys[0] <= keys[1] {
		t.Fatalf("backwards: %q", keys)
	}
}

func TestALostStateStoreIsNoticed(t *testing.T) {
	t.Parallel()
	c, m := one(t, func(cfg *Config) { cfg.TrailingEntries = 5 })
	for i := range 50 {
		c.put(1, fmt.Sprint(i))
	}
	if err := m.Shard(1).Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop("a")
	removeAll(t, filepath.Join(m.cfg.Dir, "state"))
	if _, err := c.restart(m, nil); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("started without the state behind a truncated log: %v", err)
	}
}

func TestADamagedMarkIsNoticed(t *testing.T) {
	t.Parallel()
	c, m := one(t, nil)
	c.put(1, "x")
	if err := m.Shard(1).Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.stop("a")
	mark := filepath.Join(m.cfg.Dir, "shard-1", "snapshots", markFile)
	b, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(mark, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.restart(m, nil); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("started with a damaged mark: %v", err)
	}
}
