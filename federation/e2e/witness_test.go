package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/history"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// A witness reads one room on the bare protocol and writes down what an edge
// sends, as it is sent. An SDK client is no witness against an edge: it drops
// a connection on which messages are missing or out of order, resumes where it
// was, and its application never knows.
type witness struct {
	load     *load
	name     string
	room     string
	endpoint string

	epoch string        // owned by run
	seq   atomic.Uint64 // of the message that came last
	heard atomic.Bool   // run has joined once

	mu   sync.Mutex // guards the field below
	conn *transport.ClientConn
}

// watch adds a witness for every room at every endpoint, and returns when all
// of them have joined.
func (l *load) watch(t *testing.T) []*witness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all []*witness
	var runs sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		for _, w := range all {
			w.cut()
		}
		runs.Wait()
	})
	for _, room := range l.rooms {
		for i, endpoint := range l.cluster.endpoints {
			w := &witness{load: l, name: fmt.Sprintf("witness-%s-%d", room, i), room: room, endpoint: endpoint}
			all = append(all, w)
			l.record.Add(history.Event{Kind: history.Join, Client: w.name, Room: room})
			runs.Go(func() { w.run(ctx) })
		}
	}
	wait, stop := context.WithTimeout(t.Context(), settle)
	defer stop()
	for _, w := range all {
		l.cluster.eventually(t, wait, w.name+" joins", func() error {
			if !w.heard.Load() {
				return fmt.Errorf("%s has not answered its join", w.endpoint)
			}
			return nil
		})
	}
	return all
}

// cut drops the connection, as a broken network would.
func (w *witness) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// run connects and resumes, again and again.
func (w *witness) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = w.session(ctx) // how it ended does not matter: the next one resumes
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// session is one connection, from its dial to its end.
func (w *witness) session(ctx context.Context) error {
	credential, err := w.load.cluster.token(w.name)
	if err != nil {
		return err
	}
	dial, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := transport.Dial(dial, w.endpoint, transport.DialOptions{})
	if err != nil {
		return err
	}
	defer conn.Close()
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	join := &wire.Join{Room: w.room}
	if w.heard.Load() {
		since := w.seq.Load()
		join.Epoch, join.Since = w.epoch, &since
	}
	hello := protocol.AppendClient(nil, protocol.Proto, &wire.ClientFrame{Id: 1, Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: credential}}})
	hello = protocol.AppendClient(hello, protocol.Proto, &wire.ClientFrame{Id: 2, Command: &wire.ClientFrame_Join{Join: join}})
	if err := conn.WriteFrames(hello); err != nil {
		return err
	}
	for {
		b, err := conn.ReadFrame()
		if err != nil {
			return err
		}
		frame, err := protocol.DecodeServer(protocol.Proto, b)
		if err != nil {
			return err
		}
		if err := w.hear(conn, frame); err != nil {
			return err
		}
	}
}

// hear takes one frame of the server and moves the position as docs/protocol.md
// says (section 4), but for one thing: a hole does not make it leave.
func (w *witness) hear(conn *transport.ClientConn, frame *wire.ServerFrame) error {
	switch {
	case frame.GetError() != nil:
		return protocol.FromWire(frame.GetError())
	case frame.GetJoined() != nil:
		joined := frame.GetJoined()
		if g := joined.GetGap(); g != nil {
			w.gap(g)
		}
		switch {
		case len(joined.GetMessages()) > 0:
			w.take(joined.GetEpoch(), joined.GetMessages())
		case joined.GetRecovered():
		case joined.GetGap().GetLast() > 0:
			w.seq.Store(joined.GetGap().GetLast())
		default:
			w.seq.Store(joined.GetHead())
		}
		w.epoch = joined.GetEpoch()
		w.heard.Store(true)
	case frame.GetBatch() != nil:
		w.take(frame.GetBatch().GetEpoch(), frame.GetBatch().GetMessages())
	case frame.GetGap() != nil:
		g := frame.GetGap()
		w.gap(g)
		w.epoch = g.GetEpoch()
		w.seq.Store(g.GetLast())
	case frame.GetHeartbeat() != nil:
		return conn.WriteFrames(protocol.AppendClient(nil, protocol.Proto,
			&wire.ClientFrame{Command: &wire.ClientFrame_HeartbeatAck{HeartbeatAck: &wire.HeartbeatAck{}}}))
	}
	return nil
}

func (w *witness) take(epoch string, list []*wire.Message) {
	for _, m := range list {
		if epoch == w.epoch && m.GetSeq() <= w.seq.Load() {
			continue // a server may repeat itself
		}
		w.load.record.Add(history.Event{Kind: history.Deliver, Client: w.name, Room: w.room, Epoch: epoch, Seq: m.GetSeq(), ID: m.GetText()})
		w.epoch = epoch
		w.seq.Store(m.GetSeq())
	}
}

func (w *witness) gap(g *wire.Gap) {
	w.load.record.Add(history.Event{Kind: history.Gap, Client: w.name, Room: w.room, Epoch: g.GetEpoch(), First: g.GetFirst(), Last: g.GetLast(), Reason: g.GetReason()})
}
