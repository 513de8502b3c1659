package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// bridge is a connection of a real transport to the service in memory.
type bridge struct {
	conn     transport.Conn
	edge     client.Conn
	writable chan struct{}
}

func (b *bridge) OnFrame(frame []byte) {
	image := protocol.AppendFrame(nil, frame)
	if b.conn.Info().Format.Encoding() == protocol.JSON {
		image = append(append(image[:0], frame...), '\n')
	}
	if err := b.edge.WriteFrames(image); err != nil {
		b.conn.CloseWith(nil, protocol.CloseInternal)
	}
}

func (b *bridge) OnWritable() {
	select {
	case b.writable <- struct{}{}:
	default:
	}
}

func (b *bridge) OnClose(error) {
	_ = b.edge.Close()
	b.OnWritable() // a pump that waits must end
}

func (b *bridge) pump() {
	format := b.conn.Info().Format
	for {
		frame, err := b.edge.ReadFrame()
		if err != nil {
			b.conn.CloseWith(nil, protocol.CloseInternal)
			return
		}
		frames := protocol.AppendFrame(nil, frame)
		if format.Encoding() == protocol.JSON {
			frames = append(append(frames[:0], frame...), '\n')
		}
		image := format.AppendImage(nil, frames)
		for errors.Is(b.conn.Send(image), transport.ErrBusy) {
			<-b.writable
		}
	}
}

// serve puts s on the network, and returns the URLs of its doors.
func serve(t *testing.T, s *clienttest.Server) (tcp, ws string) {
	t.Helper()
	pumps := make(chan struct{}, 100)
	accept := func(conn transport.Conn) transport.Handler {
		edge, err := s.Dial(context.Background(), edgeA)
		if err != nil {
			panic(err)
		}
		b := &bridge{conn: conn, edge: edge, writable: make(chan struct{}, 1)}
		pumps <- struct{}{}
		go func() { b.pump(); <-pumps }()
		return b
	}
	l, err := transport.ListenTCP("127.0.0.1:0", nil, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 2)
	go func() { served <- l.Serve(ctx, accept) }()
	web := transport.NewWebSocket(transport.Options{}, accept)
	mux := http.NewServeMux()
	mux.Handle(transport.WebSocketPath, web)
	srv := transport.NewHTTPServer(mux)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		stop()
		_ = srv.Close()
		for range cap(served) {
			if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
		_ = l.Close()
		_ = web.Close()
		for range cap(pumps) { // all of them have ended
			pumps <- struct{}{}
		}
	})
	return "tcp://" + l.Addr().String(), "ws://" + ln.Addr().String()
}

// eventually waits until ok, with a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen within 10 s", what)
		}
	}
}

func TestOverRealTransports(t *testing.T) {
	for _, name := range []string{"tcp", "ws", "ws+json"} {
		t.Run(name, func(t *testing.T) {
			s := clienttest.New()
			s.JSON = name == "ws+json"
			tcp, ws := serve(t, s)
			url := ws
			if name == "tcp" {
				url = tcp
			}
			c := dial(t, s, func(cfg *client.Config) { cfg.Endpoints, cfg.Dialer = []string{url}, nil })
			_, got := join(t, c, "lobby", client.JoinOptions{})
			var v verdicts
			const n = 900
			publishAll(t, c, "lobby", n/3, &v)
			s.Break()
			publishAll(t, c, "lobby", n/3, &v)
			eventually(t, "the acknowledgement of two thirds", func() bool { acks, _ := v.get(); return len(acks) == 2*n/3 })
			c.Reconnect()
			publishAll(t, c, "lobby", n/3, &v)
			eventually(t, "the acknowledgement of all", func() bool { acks, _ := v.get(); return len(acks) == n })
			eventually(t, "the delivery of all", func() bool { return len(got.seqs()) == n })
			wantSeqs(t, got, upTo(n))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCloseCodeArrivesOverWebSocket(t *testing.T) {
	s := clienttest.New()
	s.Connect = func(string, *wire.Connect) *wire.ServerFrame {
		return clienttest.CloseFrame(protocol.CloseVersion, nil)
	}
	_, ws := serve(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := client.Dial(ctx, client.Config{Endpoints: []string{ws}})
	if !errors.Is(err, &protocol.Error{Code: protocol.CloseVersion}) {
		t.Errorf("got %v", err)
	}
}
