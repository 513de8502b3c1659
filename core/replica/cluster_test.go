package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/core/machine"
)

// tally is a machine that counts sections and chains their bytes, so that two
// tallies are equal only if they saw the same sections in the same order.
type tally struct {
	count uint64
	sum   uint32
	wide  bool // also keeps every section under its number
	due   int64
	calls atomic.Int64 // of Apply, since it was made
}

type tallied struct {
	first uint64 // count before the entry
	n     int
}

func (t *tally) Load(r machine.Reader) error {
	v, ok, err := r.Get([]byte("tally"))
	if err != nil {
		return err
	}
	t.count, t.sum = 0, 0
	if ok {
		t.count, t.sum = binary.BigEndian.Uint64(v), binary.BigEndian.Uint32(v[8:])
	}
	return nil
}

func (t *tally) Apply(index uint64, payload []byte, b machine.Batch) (any, error) {
	t.calls.Add(1)
	if len(payload) < 8 {
		return nil, errors.New("poison")
	}
	out := tallied{first: t.count}
	for rest := payload[8:]; len(rest) >= 4; {
		n := binary.BigEndian.Uint32(rest)
		body := rest[4 : 4+n]
		rest = rest[4+n:]
		t.count++
		t.sum = crc32.Update(t.sum, castagnoli, body)
		out.n++
		if t.wide {
			b.Set(binary.BigEndian.AppendUint64([]byte("s/"), t.count), body)
		}
	}
	v := binary.BigEndian.AppendUint64(nil, t.count)
	b.Set([]byte("tally"), binary.BigEndian.AppendUint32(v, t.sum))
	return out, nil
}

func (t *tally) Due() int64 { return t.due }

func tallyFrame(dst []byte, timeMS int64, sections []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(timeMS)), sections...)
}

func tallySection(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// cluster is nodes in one process that reach each other over loopback, unless
// cut.
type cluster struct {
	t      testing.TB
	dir    string
	mu     sync.Mutex
	nodes  map[string]*member
	cut    map[string]bool          // nodes that reach nobody
	frozen map[string]chan struct{} // links ("from>to") whose writes wait until it is closed
	shards []uint32
	tune   func(*Config)
}

type member struct {
	*Node
	cfg     Config
	ln      net.Listener
	tally   map[uint32]*tally
	fatal   chan error
	applied atomic.Pointer[func(shard uint32, index uint64, effects any)]
	conns   sync.Map // net.Conn, accepted
	done    chan struct{}
}

func newCluster(t testing.TB, tune func(*Config), shards ...uint32) *cluster {
	if len(shards) == 0 {
		shards = []uint32{1}
	}
	c := &cluster{t: t, dir: t.TempDir(), nodes: map[string]*member{}, cut: map[string]bool{}, frozen: map[string]chan struct{}{}, shards: shards, tune: tune}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
	})
	return c
}

func (c *cluster) isCut(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[id]
}

// setCut isolates a node or joins it again; connections that cross are closed.
func (c *cluster) setCut(id string, cut bool) {
	c.mu.Lock()
	c.cut[id] = cut
	c.mu.Unlock()
	for _, m := range c.nodes {
		m.conns.Range(func(conn, from any) bool {
			if cut && (m.cfg.Node == id || from == id) {
				conn.(net.Conn).Close()
			}
			return true
		})
	}
}

// freeze makes what one node sends to another wait, with the connections open.
func (c *cluster) freeze(from, to string, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	link := from + ">" + to
	if on {
		c.frozen[link] = make(chan struct{})
	} else if ch := c.frozen[link]; ch != nil {
		close(ch)
		delete(c.frozen, link)
	}
}

type freezable struct {
	net.Conn
	c    *cluster
	link string
}

func (f *freezable) Write(p []byte) (int, error) {
	f.c.mu.Lock()
	wait := f.c.frozen[f.link]
	f.c.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return f.Conn.Write(p)
}

// open starts a node in dir; "" makes a directory.
func (c *cluster) open(id, dir string, tune func(*Config)) (*member, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	if dir == "" {
		dir = filepath.Join(c.dir, id)
	}
	return c.openAt(id, dir, ln, tune)
}

func (c *cluster) openAt(id, dir string, ln net.Listener, tune func(*Config)) (*member, error) {
	m := &member{ln: ln, tally: map[uint32]*tally{}, fatal: make(chan error, 1), done: make(chan struct{})}
	m.cfg = Config{
		Node: id, Address: ln.Addr().String(), Dir: dir, Shards: c.shards,
		Machine: func(s uint32) machine.Machine {
			m.tally[s] = &tally{wide: true}
			return m.tally[s]
		},
		Codec: func(uint32) Codec {
			return Codec{Frame: tallyFrame, Term: func(node string) []byte { return tallySection("term " + node) }}
		},
		Applied: func(shard uint32, index uint64, effects any) {
			if f := m.applied.Load(); f != nil {
				(*f)(shard, index, effects)
			}
		},
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			if c.isCut(id) || c.isCut(c.idAt(addr)) {
				return nil, errors.New("cut")
			}
			var d net.Dialer
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			// Say who we are, as a certificate would.
			if _, err = conn.Write(append([]byte{byte(len(id))}, id...)); err != nil {
				return nil, err
			}
			return &freezable{Conn: conn, c: c, link: id + ">" + c.idAt(addr)}, nil
		},
		Heartbeat: 300 * time.Millisecond, SegmentBytes: 1 << 20, CacheBytes: 1 << 20,
		SnapshotInterval: time.Hour,
		Fatal:            func(err error) { m.fatal <- err },
	}
	if c.tune != nil {
		c.tune(&m.cfg)
	}
	if tune != nil {
		tune(&m.cfg)
	}
	n, err := Open(m.cfg, slog.New(slog.NewTextHandler(logWriter{c.t}, &slog.HandlerOptions{Level: slog.LevelDebug})), prometheus.NewRegistry())
	if err != nil {
		ln.Close()
		return nil, err
	}
	m.Node = n
	c.mu.Lock()
	c.nodes[id] = m
	c.mu.Unlock()
	go func() {
		defer close(m.done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			var name [256]byte
			if _, err := conn.Read(name[:1]); err != nil {
				conn.Close()
				continue
			}
			if _, err := io.ReadFull(conn, name[1:1+name[0]]); err != nil {
				conn.Close()
				continue
			}
			from := string(name[1 : 1+name[0]])
			if c.isCut(id) || c.isCut(from) {
				conn.Close()
				continue
			}
			m.conns.Store(conn, from)
			n.Handoff(conn)
		}
	}()
	return m, nil
}

type logWriter struct{ testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	if testing.Verbose() && os.Getenv("REPLICA_LOG") != "" {
		os.Stderr.Write(p)
	}
	return len(p), nil
}

func (c *cluster) idAt(addr string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.nodes {
		if m.cfg.Address == addr {
			return id
		}
	}
	return ""
}

func (c *cluster) must(m *member, err error) *member {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// stop closes a node and forgets it.
func (c *cluster) stop(id string) {
	c.mu.Lock()
	m := c.nodes[id]
	delete(c.nodes, id)
	c.mu.Unlock()
	if m == nil {
		return
	}
	m.ln.Close()
	<-m.done
	if err := m.Close(); err != nil {
		c.t.Logf("close %s: %v", id, err)
	}
	m.conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
}

// restart opens a stopped node again, where it was.
func (c *cluster) restart(m *member, tune func(*Config)) (*member, error) {
	ln, err := net.Listen("tcp", m.cfg.Address)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.openAt(m.cfg.Node, m.cfg.Dir, ln, tune)
}

// three starts three voters and waits for a leader.
func three(t testing.TB, tune func(*Config), shards ...uint32) *cluster {
	c := newCluster(t, tune, shards...)
	var peers []Peer
	for _, id := range []string{"a", "b", "c"} {
		m := c.must(c.open(id, "", nil))
		peers = append(peers, Peer{ID: id, Address: m.cfg.Address, Voter: true})
	}
	if err := c.nodes["a"].Bootstrap(peers); err != nil {
		t.Fatal(err)
	}
	c.leader(c.shards[0])
	return c
}

func one(t testing.TB, tune func(*Config)) (*cluster, *member) {
	c := newCluster(t, tune)
	m := c.must(c.open("a", "", nil))
	if err := m.Bootstrap([]Peer{{ID: "a", Address: m.cfg.Address, Voter: true}}); err != nil {
		t.Fatal(err)
	}
	c.leader(1)
	return c, m
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // polling, bounded by the deadline
	}
}

// leader waits for a node that leads the shard and says so itself.
func (c *cluster) leader(shard uint32) *member {
	c.t.Helper()
	var found *member
	eventually(c.t, "a leader", func() bool {
		for id, m := range c.nodes {
			if !c.isCut(id) && m.Shard(shard).Verify(c.t.Context()) == nil {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func (c *cluster) followers(shard uint32) (out []*member) {
	leader := c.leader(shard)
	for _, m := range c.nodes {
		if m != leader {
			out = append(out, m)
		}
	}
	return out
}

type answer struct {
	i       int
	effects any
	err     error
}

// submit proposes one section on m and waits.
func submit(m *member, shard uint32, body string) answer {
	got := make(chan answer, 2)
	m.Shard(shard).Submit(tallySection(body), func(i int, effects any, err error) { got <- answer{i, effects, err} })
	return <-got
}

// put gets a section committed, on whoever leads.
func (c *cluster) put(shard uint32, body string) {
	c.t.Helper()
	eventually(c.t, "commit "+body, func() bool {
		return submit(c.leader(shard), shard, body).err == nil
	})
}

// equal waits until every node's machine and store are the same.
func (c *cluster) equal(shard uint32) {
	c.t.Helper()
	eventually(c.t, "equal replicas", func() bool {
		var first []byte
		for _, m := range c.nodes {
			d := dump(m, shard)
			if first == nil {
				first = d
			}
			if !bytes.Equal(first, d) {
				return false
			}
		}
		return true
	})
}

func dump(m *member, shard uint32) []byte {
	var out []byte
	m.Shard(shard).View(func(mm machine.Machine, r machine.Reader) {
		t := mm.(*tally)
		out = fmt.Appendf(nil, "%d %x\n", t.count, t.sum)
		if err := r.Scan(nil, nil, false, func(k, v []byte) bool {
			out = fmt.Appendf(out, "%q %q\n", k, v)
			return true
		}); err != nil {
			out = append(out, err.Error()...)
		}
	})
	return out
}

func count(m *member, shard uint32) (n uint64) {
	m.Shard(shard).View(func(mm machine.Machine, _ machine.Reader) { n = mm.(*tally).count })
	return n
}

func removeAll(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
