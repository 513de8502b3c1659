package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/transport"
)

// An attack has an outcome, which run checks, and moves a counter.
type attack struct {
	name      string
	offenders int    // connections, each of which counts
	counter   string // on the attacked edge
	run       func(*testing.T, *target, attack)
}

func (a attack) test(g *target) func(*testing.T) {
	return func(t *testing.T) {
		edge := g.edges[0]
		before := metric(t, edge, a.counter)
		a.run(t, g, a)
		deadline := time.Now().Add(outlast)
		for metric(t, edge, a.counter) < before+float64(a.offenders) {
			if time.Now().After(deadline) {
				t.Fatalf("%s went from %v to %v, of %d offences", a.counter, before, metric(t, edge, a.counter), a.offenders)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
}

// each runs f for every offender at once.
func (a attack) each(f func(i int)) {
	var all sync.WaitGroup
	for i := range a.offenders {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func closedAs(name string) string {
	return fmt.Sprintf(`barrage_edge_closed_total{reason=%q}`, name)
}

func handshakeRefused(reason string) string {
	return fmt.Sprintf(`barrage_edge_handshakes_refused_total{reason=%q}`, reason)
}

// patientAttacks wait for a limit of the edge that is a time. They run side by
// side.
var patientAttacks = []attack{
	{"B4 a length announced and held open", 200, closedAs("malformed"), announceAndWait},
	{"B7 a frame in single bytes", 50, closedAs("malformed"), trickle},
	{"B22 a request that never ends", 200, handshakeRefused("request"), neverAsk},
	{"B26 silence", 1000, closedAs("handshake_timeout"), sayNothing},
	{"B27 half a TLS hello", 50, handshakeRefused("tls"), halfAHello},
	{"B29 the hottest room unread", 30, closedAs("slow_consumer"), neverRead},
}

// quickAttacks run one after another.
var quickAttacks = []attack{
	{"B1 a length of 0", 1, closedAs("malformed"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		s.connect(g, "zero")
		s.put([]byte{0})
		s.closes(protocol.CloseMalformed)
	}},
	{"B2 a length of 2^63", 1, closedAs("too_large"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		s.put(binary.AppendUvarint(nil, 1<<63)) // before authentication too
		s.closes(protocol.CloseTooLarge)
	}},
	{"B56 100 MiB in one publish", 1, closedAs("too_large"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		s.connect(g, "huge")
		go func() {
			s.put(binary.AppendUvarint(nil, 100<<20))
			for chunk := make([]byte, 1<<20); ; {
				if _, err := s.Write(chunk); err != nil {
					return
				}
			}
		}()
		s.closes(protocol.CloseTooLarge)
	}},
	{"B8 10,000 frames in one segment", 1, "barrage_edge_held_total", func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.tcp)
		s.connect(g, "burst")
		var all []byte
		for id := range uint64(10_000) {
			all = append(all, command(id+2, pingFrame())...)
		}
		began := time.Now()
		go s.put(all)
		for id := range uint64(10_000) {
			if f := s.next(); f.GetId() != id+2 || f.GetPong() == nil {
				t.Fatalf("answer %d: %v", id+2, f)
			}
		}
		if took := time.Since(began); took < 4*time.Second {
			t.Errorf("10,000 frames were taken in %v", took)
		}
	}},
	{"B15 an unmasked frame", 1, closedAs("malformed"), func(t *testing.T, g *target, _ attack) {
		breach(t, g, []byte{0x82, 1, 'x'}, 1002)
	}},
	{"B18 a length with its top bit", 1, closedAs("malformed"), func(t *testing.T, g *target, _ attack) {
		breach(t, g, []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 1002)
	}},
	{"B19 compression", 1, closedAs("malformed"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.http)
		if answer := s.upgrade("Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"); strings.Contains(answer, "Extensions") {
			t.Fatalf("an extension was agreed on: %s", answer)
		}
		s.put(webSocketFrame(0xc2, "\x00\x00\xff\xff")) // a compressed message all the same
		if got := s.closeStatus(); got != 1002 {
			t.Errorf("closed with %d", got)
		}
	}},
	{"B21 a flood of pings", 1, closedAs("flood"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.http)
		s.upgrade("")
		s.put(bytes.Repeat(webSocketFrame(0x89, ""), 100_000))
		if got := protocol.Code(s.closeStatus()); got != protocol.CloseFlood {
			t.Errorf("closed with %v", got)
		}
	}},
	{"B14 a foreign page", 1, handshakeRefused("origin"), func(t *testing.T, g *target, _ attack) {
		if answer := dialSocket(t, g.http).upgrade("Origin: http://" + g.http + ".evil.example\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 403") {
			t.Error(answer)
		}
	}},
	{"B22 a megabyte of headers", 1, handshakeRefused("request"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.http)
		s.put([]byte("GET /v1/ws HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"))
		if back := s.all(); !strings.HasPrefix(back, "HTTP/1.1 431") {
			t.Errorf("answered %.100q", back)
		}
	}},
	{"B23 a request inside a request", 1, handshakeRefused("request"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.http)
		s.put([]byte("POST /v1/ws HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n"))
		if back := s.all(); !strings.HasPrefix(back, "HTTP/1.1 400") || strings.Count(back, "HTTP/1.1") != 1 {
			t.Errorf("answered %q", back)
		}
	}},
	{"B24 HTTP/2", 2, handshakeRefused("request"), func(t *testing.T, g *target, _ attack) {
		s := dialSocket(t, g.http)
		s.put([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		if back := s.all(); !strings.HasPrefix(back, "HTTP/1.1 400") {
			t.Errorf("answered %q", back)
		}
		config := &tls.Config{RootCAs: g.roots, NextProtos: []string{"h2"}}
		if nc, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", g.https); err == nil {
			nc.Close()
			t.Error("h2 was agreed on")
		}
	}},
	{"B27 TLS 1.1 from clients", 1, handshakeRefused("tls"), func(t *testing.T, g *target, _ attack) {
		old := &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, NextProtos: []string{transport.ALPN}}
		for _, address := range []string{g.tls, g.https} {
			if nc, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address); err == nil {
				nc.Close()
				t.Errorf("%s speaks TLS 1.1", address)
			}
		}
	}},
}

// Whatever a stranger does to a connection ends with a code, within bounds and
// counted, and those who talk meanwhile do not notice.
func TestHostileConnections(t *testing.T) {
	t.Parallel() // with the other hostile tests, each with a target of its own
	g := startTarget(t)
	generous(t, g)
	everybody := g.startBystander(t)
	release := guardMemory(t, g.edges[0])
	offenders := 0
	t.Run("patient", func(t *testing.T) {
		var all sync.WaitGroup // t.Parallel would run as many as there are processors
		defer all.Wait()
		for _, a := range patientAttacks {
			offenders += a.offenders
			all.Go(func() { t.Run(a.name, a.test(g)) })
		}
	})
	for _, a := range quickAttacks {
		offenders += a.offenders
		t.Run(a.name, a.test(g))
	}
	release(offenders)
	everybody.end(t)
	if n := metric(t, g.edges[0], "barrage_edge_session_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// generous keeps all that these tests publish, so that a reader who falls behind
// a burst is brought on and never told of a gap.
func generous(t *testing.T, g *target) {
	t.Helper()
	g.setPolicies(t, &rpc.Policy{
		Pattern: "*", RetainMessages: 10_000, RetainBytes: 64 << 20, RetainAgeMs: 24 * 3600 * 1000, MessageBytes: protocol.MaxMessage,
		PublishRate: 100_000, PublishBurst: 100_000, UserRate: 100_000, UserBurst: 100_000,
	})
}

func announceAndWait(t *testing.T, g *target, a attack) {
	a.each(func(i int) {
		s := dialSocket(t, g.tcp)
		s.connect(g, fmt.Sprint("announcer-", i))
		s.put(append(binary.AppendUvarint(nil, protocol.MaxClientFrame), "a few bytes"...))
		s.closes(protocol.CloseMalformed)
	})
}

func trickle(t *testing.T, g *target, a attack) {
	frame := command(2, publishFrame("trickle", "k", strings.Repeat("x", 1000)))
	a.each(func(i int) {
		s := dialSocket(t, g.tcp)
		s.connect(g, fmt.Sprint("trickler-", i))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for _, b := range frame {
				select {
				case <-tick.C:
					s.put([]byte{b})
				case <-ctx.Done():
					return
				}
			}
		}()
		s.closes(protocol.CloseMalformed)
	})
}

func neverAsk(t *testing.T, g *target, a attack) {
	a.each(func(int) {
		s := dialSocket(t, g.http)
		s.put([]byte("GET /v1/ws HTTP/1.1\r\nHost: x\r\nX: "))
		if back := s.all(); strings.HasPrefix(back, "HTTP/1.1 2") {
			t.Errorf("answered %q", back)
		}
	})
}

func sayNothing(t *testing.T, g *target, a attack) {
	sockets := make([]*socket, a.offenders)
	for i := range sockets {
		sockets[i] = dialSocket(t, g.tcp)
	}
	began := time.Now() // a new user while they all wait
	g.caller(t, 1, "newcomer")
	if took := time.Since(began); took > calm {
		t.Errorf("a new user needed %v to connect", took)
	}
	for _, s := range sockets {
		s.closes(protocol.CloseHandshakeTimeout)
	}
}

func halfAHello(t *testing.T, g *target, a attack) {
	a.each(func(int) {
		s := dialSocket(t, g.tls)
		s.put([]byte("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03"))
		if back := s.all(); len(back) > 100 {
			t.Errorf("answered %q", back)
		}
	})
}

// neverRead is in the hottest room of all and reads nothing of it. Another
// member, on the same edge, gets every message.
func neverRead(t *testing.T, g *target, a attack) {
	const messages, size = 600, 20 << 10
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	fan, err := client.Dial(ctx, client.Config{Endpoints: g.endpoints[1:2], Token: func(context.Context) (string, error) { return g.token("fan") }})
	if err != nil {
		t.Fatal(err)
	}
	defer fan.Close()
	var mu sync.Mutex // guards the three below
	var heard uint64
	all, gaps := make(chan struct{}), 0
	hot, err := fan.Join(ctx, "hottest", client.JoinOptions{}, client.Events{
		OnMessages: func(list []client.Message) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range list {
				if heard++; m.Seq != heard {
					t.Errorf("message %d came as number %d", m.Seq, heard)
				}
			}
			if heard == messages {
				close(all)
			}
		},
		OnGap: func(client.Gap) { mu.Lock(); defer mu.Unlock(); gaps++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	sockets := make([]*socket, a.offenders)
	for i := range sockets {
		sockets[i] = dialSocket(t, g.tcp)
		sockets[i].connect(g, fmt.Sprint("sleeper-", i))
		sockets[i].put(command(2, joinFrame("hottest")))
		if f := sockets[i].next(); f.GetJoined() == nil {
			t.Fatalf("join: %v", f)
		}
	}
	for i := range messages {
		if err := hot.PublishAsync(client.Message{Text: strings.Repeat("x", size)}, func(_ client.Ack, err error) {
			if err != nil {
				t.Errorf("publish %d: %v", i, err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("the other member heard %d of %d and was told of %d gaps", heard, messages, gaps)
	}
	mu.Lock()
	defer mu.Unlock()
	if gaps > 0 {
		t.Errorf("the other member was told of %d gaps", gaps)
	}
}

// breach sends bytes on a WebSocket and expects its close status.
func breach(t *testing.T, g *target, b []byte, want uint16) {
	t.Helper()
	s := dialSocket(t, g.http)
	s.upgrade("")
	s.put(b)
	if got := s.closeStatus(); got != want {
		t.Errorf("closed with %d, want %d", got, want)
	}
}
