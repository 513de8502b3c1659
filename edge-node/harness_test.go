package edgenode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/edge-node/coretest"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func startCore(t testing.TB) *coretest.Core {
	t.Helper()
	core := coretest.New()
	if err := core.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(core.Stop)
	return core
}

// startEdge runs an edge for anonymous users on loopback.
func startEdge(t testing.TB, core *coretest.Core, change ...func(*Config)) *Edge {
	t.Helper()
	return startEdgeWith(t, core, prometheus.NewRegistry(), change...)
}

// startEdgeWith is startEdge with metrics that the test looks at.
func startEdgeWith(t testing.TB, core *coretest.Core, reg *prometheus.Registry, change ...func(*Config)) *Edge {
	t.Helper()
	cfg := Default()
	cfg.Name, cfg.Region, cfg.Core, cfg.Anonymous = "edge-1", "eu", []string{core.Address()}, true
	cfg.Listen = Listen{HTTP: "127.0.0.1:0", TCP: "127.0.0.1:0"}
	cfg.Drain, cfg.Hold = 200*time.Millisecond, 300*time.Millisecond
	for _, f := range change {
		f(&cfg)
	}
	opts := Options{Plaintext: true, Registry: reg}
	if os.Getenv("EDGE_LOG") != "" {
		opts.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	e, err := Start(t.Context(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	eventually(t, "edge connects to core", func() bool { return e.Ready() == nil })
	return e
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not happen within %v: %s", patience, what)
		}
	}
}

// A peer is a connection whose frames are kept as they come.
type peer struct {
	t    testing.TB
	conn *transport.ClientConn

	mu     sync.Mutex // guards the fields below
	frames []*wire.ServerFrame
	next   uint64
	err    error // why reading ended
	came   chan struct{}
	deaf   bool // heartbeats are not answered
	paused bool
	resume chan struct{}
}

var formats = map[string]struct {
	url int
	enc protocol.Encoding
}{"ws-json": {0, protocol.JSON}, "ws-proto": {0, protocol.Proto}, "tcp": {1, protocol.Proto}}

func dial(t testing.TB, e *Edge, format string) *peer {
	t.Helper()
	f := formats[format]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := transport.Dial(ctx, e.Endpoints()[f.url], transport.DialOptions{Encoding: f.enc})
	if err != nil {
		t.Fatal(err)
	}
	c := &peer{t: t, conn: conn, came: make(chan struct{}), resume: make(chan struct{})}
	go c.read()
	t.Cleanup(func() { _ = conn.Close() })
	return c
}

// enter dials and connects under a name.
func enter(t testing.TB, e *Edge, format, name string) *peer {
	t.Helper()
	c := dial(t, e, format)
	if c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: "anonymous:" + name}}}).GetConnected() == nil {
		t.Fatal("not connected")
	}
	return c
}

func (c *peer) read() {
	for {
		b, err := c.conn.ReadFrame()
		c.mu.Lock()
		paused, deaf := c.paused, c.deaf
		c.mu.Unlock()
		if paused {
			<-c.resume
		}
		var f *wire.ServerFrame
		if err == nil {
			f, err = protocol.DecodeServer(c.conn.Encoding(), b)
		}
		c.mu.Lock()
		if err == nil {
			c.frames = append(c.frames, f)
		} else {
			c.err = err
		}
		close(c.came)
		c.came = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
		if f.GetHeartbeat() != nil && !deaf {
			_ = c.write(&wire.ClientFrame{Command: &wire.ClientFrame_HeartbeatAck{HeartbeatAck: &wire.HeartbeatAck{}}})
		}
	}
}

// ignore stops answering heartbeats.
func (c *peer) ignore() {
	c.mu.Lock()
	c.deaf = true
	c.mu.Unlock()
}

// pause stops reading after the next frame.
func (c *peer) pause() {
	c.mu.Lock()
	c.paused = true
	c.mu.Unlock()
}

func (c *peer) goOn() {
	c.mu.Lock()
	c.paused = false
	c.mu.Unlock()
	close(c.resume)
}

func (c *peer) write(f *wire.ClientFrame) error {
	return c.conn.WriteFrames(protocol.AppendClient(nil, c.conn.Encoding(), f))
}

// send sends a command without waiting for the reply.
func (c *peer) send(f *wire.ClientFrame) uint64 {
	c.t.Helper()
	c.mu.Lock()
	c.next++
	f.Id = c.next
	c.mu.Unlock()
	if err := c.write(f); err != nil {
		c.t.Fatalf("send: %v", err)
	}
	return f.Id
}

func (c *peer) call(f *wire.ClientFrame) *wire.ServerFrame {
	c.t.Helper()
	return c.reply(c.send(f))
}

func (c *peer) reply(id uint64) *wire.ServerFrame {
	c.t.Helper()
	return c.wait(fmt.Sprintf("reply to %d", id), func(f *wire.ServerFrame) bool { return f.GetId() == id })
}

// wait returns the first frame, old or new, that matches.
func (c *peer) wait(what string, match func(*wire.ServerFrame) bool) *wire.ServerFrame {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		for _, f := range c.frames {
			if match(f) {
				c.mu.Unlock()
				return f
			}
		}
		came, err := c.came, c.err
		c.mu.Unlock()
		if err != nil {
			c.t.Fatalf("%s: the connection ended: %v", what, err)
		}
		select {
		case <-came:
		case <-deadline:
			c.t.Fatalf("%s: nothing came within %v", what, patience)
		}
	}
}

// closed waits for the end of the connection and returns its close frame.
func (c *peer) closed() *wire.Close {
	c.t.Helper()
	eventually(c.t, "connection ends", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err != nil
	})
	_ = c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if f.GetClose() != nil {
			return f.GetClose()
		}
	}
	var e *protocol.Error
	if errors.As(c.err, &e) {
		return &wire.Close{Code: uint32(e.Code)}
	}
	return &wire.Close{}
}

func (c *peer) join(room string, change ...func(*wire.Join)) *wire.Joined {
	c.t.Helper()
	j := &wire.Join{Room: room}
	for _, f := range change {
		f(j)
	}
	f := c.call(&wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: j}})
	if f.GetJoined() == nil {
		c.t.Fatalf("join %s: %v", room, f)
	}
	return f.GetJoined()
}

func since(epoch string, seq uint64) func(*wire.Join) {
	return func(j *wire.Join) { j.Epoch, j.Since = epoch, proto.Uint64(seq) }
}

func publish(room, key, text string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Publish{Publish: &wire.Publish{Room: room, Key: key, Text: text}}}
}

// log is what the client holds of a room after a join: what joined and the
// batches brought, and the gaps in between.
func (c *peer) log(room string) (seqs []uint64, texts []string, gaps []*wire.Gap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	take := func(list []*wire.Message) {
		for _, m := range list {
			seqs, texts = append(seqs, m.GetSeq()), append(texts, m.GetText())
		}
	}
	for _, f := range c.frames {
		if j := f.GetJoined(); j.GetRoom() == room {
			take(j.GetMessages())
			if j.GetGap() != nil {
				gaps = append(gaps, j.GetGap())
			}
		}
		if b := f.GetBatch(); b.GetRoom() == room {
			take(b.GetMessages())
		}
		if g := f.GetGap(); g.GetRoom() == room {
			gaps = append(gaps, g)
		}
	}
	return seqs, texts, gaps
}

// expect waits until the client holds first to last of a room, each once and in
// order.
func (c *peer) expect(room string, first, last uint64) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for {
		seqs, _, gaps := c.log(room)
		if n := len(seqs); n > 0 && seqs[n-1] >= last || time.Now().After(end) {
			for i, seq := range seqs {
				if seq != first+uint64(i) {
					c.t.Fatalf("message %d has seq %d, want %d (gaps %v)", i, seq, first+uint64(i), gaps)
				}
			}
			if uint64(n) != last-first+1 {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.t.Fatalf("got %d messages, want %d to %d (gaps %v, connection %v)", n, first, last, gaps, c.err)
			}
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func texts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("text %d", i)
	}
	return list
}
