package core_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// testEdge is a small edge: one lane, which keeps what is unanswered and sends
// it again after a reset, as docs/architecture.md says.
type testEdge struct {
	t           testing.TB
	incarnation uint64
	shard       uint32
	stream      grpc.BidiStreamingClient[rpc.AttachRequest, rpc.AttachResponse]
	welcome     *rpc.Welcome
	ended       chan error

	mu         sync.Mutex
	generation uint64
	next       uint64   // ordinal
	unanswered [][]byte // oldest first; unanswered[0] has ordinal next-len(unanswered)
	results    []*rpc.Result
	resets     int
	states     int
	moved      chan struct{}
}

func (c *cluster) attach(n *node, incarnation uint64, shard uint32) *testEdge {
	c.t.Helper()
	e := &testEdge{t: c.t, incarnation: incarnation, shard: shard, moved: make(chan struct{}, 1)}
	e.connect(c, n)
	return e
}

func (e *testEdge) connect(c *cluster, n *node) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	stream, err := rpc.NewCoreClient(c.dial(n, pki.Edge, "edge")).Attach(ctx, grpc.WaitForReady(true))
	if err != nil {
		c.t.Fatal(err)
	}
	err = stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Hello{Hello: &rpc.Edge{
		Incarnation: e.incarnation, Name: fmt.Sprint("edge", e.incarnation), Region: "r1", TtlMs: 3000,
	}}})
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	e.stream, e.welcome, e.ended = stream, m.GetWelcome(), make(chan error, 1)
	c.t.Cleanup(cancel)
	e.mu.Lock()
	e.again()
	e.mu.Unlock()
	go e.receive(stream, e.ended)
}

// again begins the next generation with a lease and everything unanswered.
func (e *testEdge) again() {
	e.generation++
	lease := encode(e.t, &rpc.Command{Op: &rpc.Command_Lease{Lease: &rpc.Lease{Edge: "edge", Region: "r1", TtlMs: 60_000}}})
	e.unanswered = append([][]byte{lease}, e.unanswered...)
	e.results = append(e.results, nil)
	e.next = uint64(len(e.unanswered)) + 1
	e.propose(1, e.unanswered)
}

func (e *testEdge) propose(first uint64, commands [][]byte) {
	_ = e.stream.Send(&rpc.AttachRequest{Frame: &rpc.AttachRequest_Proposal{Proposal: &rpc.Proposal{ // a broken stream is seen by receive
		Shard: e.shard, Generation: e.generation, First: first, Commands: rpc.PackCommands(commands...),
	}}})
}

func (e *testEdge) send(commands ...[]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unanswered = append(e.unanswered, commands...)
	e.propose(e.next, commands)
	e.next += uint64(len(commands))
}

func (e *testEdge) publish(room, user, key, text string) {
	e.send(publishCommand(e.t, room, user, key, text, 0))
}

func publishCommand(t testing.TB, room, user, key, text string, deadline int64) []byte {
	return encode(t, &rpc.Command{Op: &rpc.Command_Publish{Publish: &rpc.Publish{
		Room: room, User: user, Key: key, Body: protocol.AppendBody(nil, user, "", "", text, nil), DeadlineMs: deadline,
	}}})
}

func encode(t testing.TB, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Error(err)
	}
	return b
}

func (e *testEdge) receive(stream grpc.BidiStreamingClient[rpc.AttachRequest, rpc.AttachResponse], ended chan<- error) {
	for {
		m, err := stream.Recv()
		if err != nil {
			ended <- err
			return
		}
		e.mu.Lock()
		switch f := m.GetFrame().(type) {
		case *rpc.AttachResponse_State:
			e.states++
		case *rpc.AttachResponse_Results:
			r := f.Results
			if r.GetGeneration() == e.generation {
				if want := e.next - uint64(len(e.unanswered)); r.GetFirst() != want {
					e.t.Errorf("results begin at %d, %d was the oldest unanswered", r.GetFirst(), want)
				}
				n := min(len(r.GetResults()), len(e.unanswered))
				e.unanswered = e.unanswered[n:]
				for _, res := range r.GetResults() {
					if res.GetEpoch() != 0 || res.GetCode() != 0 {
						e.results = append(e.results, res)
					}
				}
			}
		case *rpc.AttachResponse_Reset_:
			if f.Reset_.GetGeneration() == e.generation {
				e.resets++
				wait := time.Duration(f.Reset_.GetRetryAfterMs()) * time.Millisecond
				time.AfterFunc(wait, func() {
					e.mu.Lock()
					defer e.mu.Unlock()
					if e.generation == f.Reset_.GetGeneration() {
						e.again()
					}
				})
			}
		}
		e.mu.Unlock()
		select {
		case e.moved <- struct{}{}:
		default:
		}
	}
}

// published waits until everything sent has an answer and returns the results
// of publishes.
func (e *testEdge) published() []*rpc.Result {
	e.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		e.mu.Lock()
		left := len(e.unanswered)
		var out []*rpc.Result
		for _, r := range e.results {
			if r != nil {
				out = append(out, r)
			}
		}
		e.mu.Unlock()
		if left == 0 {
			return out
		}
		select {
		case <-e.moved:
		case <-deadline:
			e.t.Fatalf("%d commands are unanswered", left)
		}
	}
}

// testFeed collects what a feed says about rooms.
type testFeed struct {
	t      testing.TB
	stream grpc.BidiStreamingClient[rpc.FeedRequest, rpc.FeedResponse]
	cancel context.CancelFunc
	frames chan *rpc.FeedResponse
	ended  chan error
}

func (c *cluster) feed(n *node, incarnation uint64) *testFeed {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	stream, err := rpc.NewCoreClient(c.dial(n, pki.Edge, "edge")).Feed(ctx, grpc.WaitForReady(true))
	if err != nil {
		c.t.Fatal(err)
	}
	f := &testFeed{t: c.t, stream: stream, cancel: cancel, frames: make(chan *rpc.FeedResponse, 10_000), ended: make(chan error, 1)}
	f.ask(&rpc.FeedRequest{Frame: &rpc.FeedRequest_Hello{Hello: &rpc.FeedHello{Incarnation: incarnation}}})
	c.t.Cleanup(cancel)
	return f
}

func (f *testFeed) ask(m *rpc.FeedRequest) {
	f.t.Helper()
	if err := f.stream.Send(m); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFeed) subscribe(room string, epoch, after uint64, recent uint32) {
	f.t.Helper()
	f.ask(&rpc.FeedRequest{Frame: &rpc.FeedRequest_Subscribe{Subscribe: &rpc.Subscribe{Room: room, Epoch: epoch, After: after, Recent: recent}}})
}

// listen begins to read; a feed that does not listen is a slow one.
func (f *testFeed) listen() {
	go func() {
		for {
			m, err := f.stream.Recv()
			if err != nil {
				f.ended <- err
				return
			}
			f.frames <- m
		}
	}()
}

func (f *testFeed) next() *rpc.FeedResponse {
	f.t.Helper()
	select {
	case m := <-f.frames:
		return m
	case err := <-f.ended:
		f.t.Fatalf("feed ended: %v", err)
	case <-time.After(20 * time.Second):
		f.t.Fatal("nothing comes from the feed")
	}
	return nil
}

// subscribed skips to the answer for a subscription.
func (f *testFeed) subscribed() *rpc.Subscribed {
	f.t.Helper()
	for {
		if s := f.next().GetSubscribed(); s != nil {
			return s
		}
	}
}

// texts reads blocks of one room until it has messages up to seq last, checks
// that they are consecutive from first on, and returns their texts.
func (f *testFeed) texts(room string, first, last uint64) (texts []string) {
	f.t.Helper()
	want := first
	for want <= last {
		m := f.next()
		if g := m.GetGap(); g != nil {
			f.t.Fatalf("gap %v", g)
		}
		b := m.GetBlock()
		if b == nil || b.GetRoom() != room {
			continue
		}
		if b.GetFirst() != want {
			f.t.Fatalf("block begins at %d, want %d", b.GetFirst(), want)
		}
		texts = append(texts, blockTexts(f.t, b)...)
		want += uint64(b.GetCount())
	}
	return texts
}

func blockTexts(t testing.TB, b *rpc.Block) (texts []string) {
	t.Helper()
	if protocol.CRC(b.GetRecords()) != b.GetCrc() {
		t.Fatal("block with a wrong checksum")
	}
	m := decodeBatch(t, b.GetRecords())
	if len(m.GetMessages()) != int(b.GetCount()) {
		t.Fatalf("block says %d messages, holds %d", b.GetCount(), len(m.GetMessages()))
	}
	for i, msg := range m.GetMessages() {
		if msg.GetSeq() != b.GetFirst()+uint64(i) {
			t.Fatalf("message %d of the block has seq %d", i, msg.GetSeq())
		}
		texts = append(texts, msg.GetText())
	}
	return texts
}
