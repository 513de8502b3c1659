package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// outlast is how long an attacker waits for the outcome: longer than any limit
// of the edge.
const outlast = 30 * time.Second

// A socket is a connection below the protocol.
type socket struct {
	t *testing.T
	net.Conn
}

func dialSocket(t *testing.T, address string) *socket {
	t.Helper()
	// The kernel's buffers are as small as it lets us, so that a client that
	// does not read is felt soon.
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	nc, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(outlast))
	return &socket{t, nc}
}

// put sends bytes; the edge may have closed already.
func (s *socket) put(b []byte) { _, _ = s.Write(b) }

// connect sends the first frame and waits for its reply.
func (s *socket) connect(g *target, user string) {
	s.t.Helper()
	s.put(command(1, connectFrame(s.t, g, user)))
	if f := s.next(); f.GetConnected() == nil {
		s.t.Fatalf("not connected: %v", f)
	}
}

func connectFrame(t *testing.T, g *target, user string) *wire.ClientFrame {
	t.Helper()
	raw, err := g.token(user)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.ClientFrame{Command: &wire.ClientFrame_Connect{Connect: &wire.Connect{Token: raw}}}
}

func command(id uint64, f *wire.ClientFrame) []byte {
	f.Id = id
	return protocol.AppendClient(nil, protocol.Proto, f)
}

func pingFrame() *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}}
}

func joinFrame(room string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Join{Join: &wire.Join{Room: room}}}
}

func publishFrame(room, key, text string) *wire.ClientFrame {
	return &wire.ClientFrame{Command: &wire.ClientFrame_Publish{Publish: &wire.Publish{Room: room, Key: key, Text: text}}}
}

// next reads one frame; nil at the end of the connection.
func (s *socket) next() *wire.ServerFrame {
	s.t.Helper()
	size, shift := uint64(0), 0
	for b := [1]byte{0x80}; b[0]&0x80 != 0; shift += 7 {
		if _, err := io.ReadFull(s, b[:]); err != nil {
			return s.ended(err)
		}
		size |= uint64(b[0]&0x7f) << shift
	}
	if size > protocol.MaxServerFrame {
		s.t.Fatalf("a frame of %d bytes", size)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(s, frame); err != nil {
		return s.ended(err)
	}
	f, err := protocol.DecodeServer(protocol.Proto, frame)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (s *socket) ended(err error) *wire.ServerFrame {
	s.t.Helper()
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		s.t.Fatalf("nothing came within %v", outlast)
	}
	return nil
}

// closes reads on to the end and checks the code of the close frame.
func (s *socket) closes(want protocol.Code) {
	s.t.Helper()
	var last *wire.ServerFrame
	for f := s.next(); f != nil; f = s.next() {
		last = f
	}
	if got := protocol.Code(last.GetClose().GetCode()); got != want {
		s.t.Errorf("closed with %d %v, want %d %v", got, last, want, want)
	}
	_ = s.Close()
}

// all reads what comes until the connection ends.
func (s *socket) all() string {
	var b bytes.Buffer
	_, _ = io.Copy(&b, s)
	return b.String()
}

// upgrade makes the handshake of a WebSocket, with headers of our own.
func (s *socket) upgrade(headers string) (status string) {
	s.t.Helper()
	s.put([]byte("GET /v1/ws HTTP/1.1\r\nHost: " + s.RemoteAddr().String() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: barrage.v1.proto\r\n" + headers + "\r\n"))
	var answer []byte
	for b := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); {
		if _, err := io.ReadFull(s, b); err != nil {
			s.t.Fatalf("handshake: %v after %q", err, answer)
		}
		answer = append(answer, b[0])
	}
	return string(answer)
}

// webSocketFrame is a client's frame of at most 125 bytes, masked with zeroes.
func webSocketFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// closeStatus reads frames up to the server's close, returns its status and
// closes too.
func (s *socket) closeStatus() uint16 {
	s.t.Helper()
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(s, head); err != nil {
			s.t.Fatalf("waiting for the close frame: %v", err)
		}
		size := int(head[1])
		if size == 126 {
			if _, err := io.ReadFull(s, head); err != nil {
				s.t.Fatal(err)
			}
			size = int(head[0])<<8 | int(head[1])
			head[0] = 0
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(s, payload); err != nil {
			s.t.Fatal(err)
		}
		if head[0] == 0x88 {
			_ = s.Close()
			return uint16(payload[0])<<8 | uint16(payload[1])
		}
	}
}

// A caller speaks the protocol correctly and says whatever it likes.
type caller struct {
	t    *testing.T
	conn *transport.ClientConn
	id   uint64
}

func dialCaller(t *testing.T, endpoint string, first *wire.ClientFrame) (*caller, *wire.ServerFrame) {
	t.Helper()
	conn, err := transport.Dial(t.Context(), endpoint, transport.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(outlast))
	c := &caller{t: t, conn: conn}
	return c, c.call(first)
}

func (g *target) caller(t *testing.T, endpoint int, user string) *caller {
	t.Helper()
	c, f := dialCaller(t, g.endpoints[endpoint], connectFrame(t, g, user))
	if f.GetConnected() == nil {
		t.Fatalf("not connected: %v", f)
	}
	return c
}

func (c *caller) send(f *wire.ClientFrame) uint64 {
	c.t.Helper()
	c.id++
	f.Id = c.id
	if err := c.conn.WriteFrames(protocol.AppendClient(nil, c.conn.Encoding(), f)); err != nil {
		c.t.Fatal(err)
	}
	return c.id
}

// call returns the reply, or the close frame.
func (c *caller) call(f *wire.ClientFrame) *wire.ServerFrame {
	c.t.Helper()
	return c.reply(c.send(f))
}

func (c *caller) reply(id uint64) *wire.ServerFrame {
	c.t.Helper()
	for {
		f := c.read()
		if f.GetId() == id || f.GetClose() != nil {
			return f
		}
	}
}

func (c *caller) read() *wire.ServerFrame {
	c.t.Helper()
	b, err := c.conn.ReadFrame()
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := protocol.DecodeServer(c.conn.Encoding(), b)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// refused checks the code of a refusal, which must say what to do.
func refused(t *testing.T, what string, f *wire.ServerFrame, want protocol.Code) *wire.Error {
	t.Helper()
	e := f.GetError()
	if got := protocol.Code(e.GetCode()); got != want || e.GetMessage() == "" || e.GetName() != want.Name() {
		t.Errorf("%s: %v, want %s", what, f, fmt.Sprint(want))
	}
	return e
}
