package session

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn is a connection that can be busy.
type conn struct {
	mu     sync.Mutex
	busy   bool
	frames []byte
	code   protocol.Code
	held   time.Duration
}

func (c *conn) Hold(d time.Duration) { c.held += d }

func (c *conn) Info() transport.Info {
	return transport.Info{Transport: "tcp", Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
}

func (c *conn) Send(image []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return transport.ErrBusy
	}
	c.frames = append(c.frames, image...)
	return nil
}

func (c *conn) CloseWith(_ []byte, code protocol.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code = code
}

type verifier func(token string) (*auth.Claims, error)

func (v verifier) Verify(_ context.Context, token string) (*auth.Claims, error) { return v(token) }

func newServer(t *testing.T, cfg Config, v verifier) *Server {
	t.Helper()
	s, err := New(cfg, &upstream.Client{}, nil, v, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func frame(id uint64, token string) []byte {
	f := protocol.AppendClient(nil, protocol.Proto, &wire.ClientFrame{Id: id, Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: token}}})
	payload, _, _ := protocol.NextFrame(f, protocol.MaxClientFrame)
	return payload
}

func ping(id uint64) []byte {
	f := protocol.AppendClient(nil, protocol.Proto, &wire.ClientFrame{Id: id, Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
	payload, _, _ := protocol.NextFrame(f, protocol.MaxClientFrame)
	return payload
}

func anybody(token string) (*auth.Claims, error) { return &auth.Claims{User: token}, nil }

func TestPanicEndsItsSessionOnly(t *testing.T) {
	s := newServer(t, Default(), func(token string) (*auth.Claims, error) {
		if token == "bad" {
			panic("planted")
		}
		return anybody(token)
	})
	bad, good := &conn{}, &conn{}
	badSession, goodSession := s.Accept(bad), s.Accept(good)
	badSession.OnFrame(frame(1, "bad"))
	if bad.code != protocol.CloseInternal {
		t.Errorf("closed with %v", bad.code)
	}
	badSession.OnClose(nil)
	goodSession.OnFrame(frame(1, "good"))
	if len(good.frames) == 0 || good.code != 0 {
		t.Errorf("the other session: %d bytes, closed with %v", len(good.frames), good.code)
	}
	goodSession.OnClose(nil)
	if s.Count() != 0 {
		t.Errorf("%d sessions left", s.Count())
	}
}

func TestAddressesAreLimited(t *testing.T) {
	cfg := Default()
	cfg.PerAddress = 1
	s := newServer(t, cfg, anybody)
	first := s.Accept(&conn{})
	second := &conn{}
	if s.Accept(second) != nil || second.code != protocol.CloseAddressLimit {
		t.Errorf("the second was closed with %v", second.code)
	}
	first.OnClose(nil)
	if s.Accept(&conn{}) == nil {
		t.Error("the place was not given back")
	}
}

func TestUnreadRepliesAreBounded(t *testing.T) {
	cfg := Default()
	cfg.Outbox = 1000
	s := newServer(t, cfg, anybody)
	c := &conn{}
	session := s.Accept(c)
	session.OnFrame(frame(1, "ann"))
	c.busy = true
	refused := false
	for id := uint64(2); id < 1000 && c.code == 0; id++ {
		session.OnFrame(ping(id))
		if session.(*Session).full() {
			refused = true
		}
	}
	if !refused || c.code != protocol.CloseSlow {
		t.Errorf("closed with %v", c.code)
	}
}

// A client that is too fast for its limit is neither refused nor closed: it is
// held for as long as the frames above the limit are worth.
func TestFasterFramesAreHeldBack(t *testing.T) {
	cfg := Default()
	cfg.FrameRate, cfg.FrameBurst = 100, 50
	s := newServer(t, cfg, anybody)
	c := &conn{}
	session := s.Accept(c)
	session.OnFrame(frame(1, "ann"))
	for id := uint64(2); id <= 50; id++ {
		session.OnFrame(ping(id))
	}
	if c.held != 0 {
		t.Errorf("held for %v within the burst", c.held)
	}
	for id := uint64(51); id <= 60; id++ {
		session.OnFrame(ping(id))
	}
	if c.held < 100*time.Millisecond || c.code != 0 {
		t.Errorf("held for %v after 10 frames above 100 per second, closed with %v", c.held, c.code)
	}
}

// Whatever the date, and however long the client was silent.
func TestFrameBudgetComesBack(t *testing.T) {
	s := newServer(t, Default(), anybody)
	for day := range time.Duration(400) {
		c := &conn{}
		at := time.Now().Add(day * 24 * time.Hour).UnixNano()
		s.clock.Store(at)
		session := s.Accept(c).(*Session)
		for range s.cfg.FrameBurst {
			session.spend(at)
		}
		for _, silence := range []time.Duration{5 * time.Second, 30 * 24 * time.Hour} {
			at += int64(silence)
			for range s.cfg.FrameBurst {
				session.spend(at)
			}
			if c.held != 0 {
				t.Fatalf("day %d: held for %v after %v of silence", day, c.held, silence)
			}
		}
		session.OnClose(nil)
	}
}

func TestRepliesLeaveInOrderWhenTheConnectionIsFree(t *testing.T) {
	s := newServer(t, Default(), anybody)
	c := &conn{}
	session := s.Accept(c)
	session.OnFrame(frame(1, "ann"))
	c.frames, c.busy = nil, true
	for id := uint64(2); id < 6; id++ {
		session.OnFrame(ping(id))
	}
	c.busy = false
	session.OnWritable()
	rest := c.frames
	for id := uint64(2); id < 6; id++ {
		var payload []byte
		payload, rest, _ = protocol.NextFrame(rest, protocol.MaxServerFrame)
		f, err := protocol.DecodeServer(protocol.Proto, payload)
		if err != nil || f.GetId() != id || f.GetPong() == nil {
			t.Fatalf("reply %d: %v, %v", id, f, err)
		}
	}
}
