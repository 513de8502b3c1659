package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// counts is a place for Options.Refused.
type counts struct {
	mu sync.Mutex // guards m
	m  map[string]int
}

func (c *counts) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]int{}
	}
	c.m[reason]++
}

func (c *counts) expect(t *testing.T, reason string, n int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := c.m[reason]
		c.mu.Unlock()
		if got == n {
			return
		}
		if got > n || time.Now().After(end) {
			t.Fatalf("%d counted as %q, want %d", got, reason, n)
		}
	}
}

// sent opens a connection, sends what is given and returns what comes back
// until the server closes.
func sent(t *testing.T, address, what string) string {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(nc, what) // the server may close before it has all
	var back bytes.Buffer
	if _, err := io.Copy(&back, nc); errors.Is(err, &net.OpError{}) {
		t.Fatal(err)
	}
	return back.String()
}

// B22, B23, B24, B27: what is not HTTP/1 with good headers ends, and is counted.
func TestRequestsThatAreNoneAreCounted(t *testing.T) {
	for _, c := range []struct{ name, bytes, answer string }{
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/1.1 400"},
		{"noise", "\x00\xff\x93barrage\r\n\r\n", "HTTP/1.1 400"},
		{"headers above the limit", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", "HTTP/1.1 431"},
		{"a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 400"},
		{"two ways to end a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"},
		{"headers that never end", "GET / HTTP/1.1\r\nHost: x\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var refused counts
			asked := make(chan string, 10)
			srv := NewHTTPServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
			CountRefused(srv, refused.add)
			srv.ReadHeaderTimeout = 200 * time.Millisecond
			address := serve(t, srv)
			back := sent(t, address, c.bytes)
			if !strings.HasPrefix(back, c.answer) || strings.Count(back, "HTTP/1.1") > 1 {
				t.Errorf("answered %q, want %s and nothing else", back, c.answer)
			}
			refused.expect(t, "request", 1)
			// A good request is not counted.
			if back := sent(t, address, "GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(back, "HTTP/1.1 200") {
				t.Errorf("a good request is answered %q", back)
			}
			if path := wait(t, "the good request", asked); path != "/good" {
				t.Errorf("%s came through", path)
			}
			refused.expect(t, "request", 1)
		})
	}
}

func serve(t *testing.T, srv *http.Server) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return ln.Addr().String()
}

// B27: who is at the door of a TLS listener.
func TestTLSRules(t *testing.T) {
	var refused counts
	r := newRig(t, "tls", Options{Refused: refused.add, HandshakeTimeout: 300 * time.Millisecond}, nil)
	address := strings.TrimPrefix(r.url, "tcps://")
	with := func(change func(*tls.Config)) error {
		t.Helper()
		config := r.opts.TLS.Clone()
		config.ServerName, config.NextProtos = "127.0.0.1", []string{ALPN}
		change(config)
		nc, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = nc.Close()
		}
		return err
	}
	bad := map[string]func(*tls.Config){
		"TLS 1.0":      func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"TLS 1.1":      func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"another ALPN": func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"weak suites": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		},
	}
	for name, change := range bad {
		if with(change) == nil {
			t.Errorf("%s got through", name)
		}
	}
	refused.expect(t, "tls", len(bad))
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":      func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"without SNI":  func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true },
		"another SNI":  func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "elsewhere.example", true },
		"without ALPN": func(c *tls.Config) { c.NextProtos = nil },
	} {
		if err := with(change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused.expect(t, "tls", len(bad))
	hello := "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" // a ClientHello of 16 KiB
	for name, bytes := range map[string]string{
		"plain frames":      string(ping(Proto, 1)),
		"HTTP":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a hello cut":       hello,
		"16 KiB of hello":   hello + strings.Repeat("\xff", 16<<10),
		"hello after noise": strings.Repeat("\x00", 100) + hello,
	} {
		if back := sent(t, address, bytes); len(back) > 100 {
			t.Errorf("%s: answered %q", name, back)
		}
	}
	refused.expect(t, "tls", len(bad)+5)
}

// B21: a client that never closes its side is not waited for.
func TestACloseThatIsNotAnsweredEnds(t *testing.T) {
	everyTransport(t, Options{CloseWait: 100 * time.Millisecond}, func(t *testing.T, r *rig) {
		_, s := r.connect(t)
		why := protocol.Errorf(protocol.CloseDraining, "enough")
		s.conn.CloseWith(s.conn.Info().Format.CloseImage(why), why.Code)
		if err := wait(t, "the end of the session", s.closed); !errors.Is(err, why) {
			t.Errorf("the session is told %v", err)
		}
	})
}
