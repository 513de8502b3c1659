package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

func TestMain(m *testing.M) {
	// net/http waits half a second behind a refused request, and Close does not
	// wait for it.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// recorder is a Handler that hands everything to the test.
type recorder struct {
	conn     Conn
	frames   chan []byte
	writable chan struct{}
	closed   chan error
}

func (r *recorder) OnFrame(f []byte)  { r.frames <- bytes.Clone(f) }
func (r *recorder) OnClose(err error) { r.closed <- err; close(r.frames) }

func (r *recorder) OnWritable() {
	select {
	case r.writable <- struct{}{}:
	default: // one is enough
	}
}

// rig is a server of one transport and the way to reach it.
type rig struct {
	url      string
	enc      Encoding
	opts     DialOptions
	sessions chan *recorder
	shut     func()
}

// everyTransport runs body over each of them.
func everyTransport(t *testing.T, o Options, body func(t *testing.T, r *rig)) {
	t.Helper()
	for _, name := range []string{"tcp", "tls", "ws/proto", "ws/json", "wss/proto"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body(t, newRig(t, name, o, nil))
		})
	}
}

func newRig(t *testing.T, name string, o Options, accept Accept) *rig {
	t.Helper()
	r := &rig{sessions: make(chan *recorder, 16)}
	if accept == nil {
		accept = func(c Conn) Handler {
			s := &recorder{c, make(chan []byte, 20_000), make(chan struct{}, 1), make(chan error, 1)}
			r.sessions <- s
			return s
		}
	}
	var config *tls.Config
	if name == "tls" || strings.HasPrefix(name, "wss") {
		config, r.opts.TLS = certificates(t)
	}
	if kind, enc, ok := strings.Cut(name, "/"); ok {
		if enc == "json" {
			r.enc = JSON
		}
		r.opts.Encoding = r.enc
		r.serveHTTP(t, kind, NewWebSocket(o, accept), config)
		return r
	}
	l, err := ListenTCP("127.0.0.1:0", config, o)
	if err != nil {
		t.Fatal(err)
	}
	r.url = "tcp://" + l.Addr().String()
	if config != nil {
		r.url = "tcps://" + l.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, accept) }()
	r.shut = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		done <- nil
	}
	t.Cleanup(r.shut)
	return r
}

func (r *rig) serveHTTP(t *testing.T, scheme string, ws *WebSocket, config *tls.Config) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(WebSocketPath, ws)
	srv := NewHTTPServer(mux)
	r.url = scheme + "://" + ln.Addr().String()
	done := make(chan error, 1)
	go func() {
		if config != nil {
			srv.TLSConfig = config
			done <- srv.ServeTLS(ln, "", "")
			return
		}
		done <- srv.Serve(ln)
	}()
	r.shut = func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && err != nil {
			t.Errorf("serve: %v", err)
		}
		_ = ws.Close()
		done <- nil
	}
	t.Cleanup(r.shut)
}

// connect returns both ends of a new connection.
func (r *rig) connect(t *testing.T) (*ClientConn, *recorder) {
	t.Helper()
	c := r.dial(t)
	return c, wait(t, "a session", r.sessions)
}

func (r *rig) dial(t *testing.T) *ClientConn {
	t.Helper()
	c, err := Dial(t.Context(), r.url, r.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// image puts framed frames into a client's envelope.
func (r *rig) image(frames []byte) []byte {
	switch {
	case !strings.HasPrefix(r.url, "ws"):
		return frames
	case r.enc == JSON:
		return masked(true, opText, frames)
	default:
		return masked(true, opBinary, frames)
	}
}

// masked is a WebSocket frame as clients send it.
func masked(fin bool, opcode byte, payload []byte) []byte {
	b := appendWSHeader(nil, opcode, len(payload))
	if !fin {
		b[0] &^= finBit
	}
	b[1] |= maskBit
	mask := [4]byte{0x11, 0x22, 0x33, 0x44}
	b = append(b, mask[:]...)
	at := len(b)
	b = append(b, payload...)
	unmask(b[at:], mask, 0)
	return b
}

func ping(enc Encoding, id uint64) []byte {
	return protocol.AppendClient(nil, enc, &wire.ClientFrame{Id: id, Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
}

func pong(f Format, id uint64) []byte {
	return f.AppendImage(nil, protocol.AppendServer(nil, f.Encoding(), &wire.ServerFrame{Id: id, Body: &wire.ServerFrame_Pong{Pong: &wire.Pong{}}}))
}

// expectClose reads until the connection ends and checks the code of the close
// frame, of the close itself, and what the session is told.
func expectClose(t *testing.T, c *ClientConn, s *recorder, code protocol.Code) {
	t.Helper()
	var last []byte
	for {
		f, err := c.ReadFrame()
		if err == nil {
			last = bytes.Clone(f)
			continue
		}
		if !errors.Is(err, &protocol.Error{Code: code}) {
			t.Errorf("the client is told %v, want %s", err, code)
		}
		break
	}
	f, err := protocol.DecodeServer(c.Encoding(), last)
	if err != nil || protocol.Code(f.GetClose().GetCode()) != code {
		t.Errorf("the last frame is %q, want a close frame with %s", last, code)
	}
	_ = c.Close()
	if s == nil {
		return
	}
	if err := wait(t, "the end of the session", s.closed); !errors.Is(err, &protocol.Error{Code: code}) {
		t.Errorf("the session is told %v, want %s", err, code)
	}
}

func wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}
