//go:build linux

package transport_test

import (
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
)

// crowd is n idle TCP clients of a listener, and the server's ends. The clients
// are bare descriptors, so that the runtime's poller does not hear of what they
// get: clients are elsewhere.
type crowd struct {
	clients []int
	conns   []transport.Conn
}

func dialBare(tb testing.TB, addr net.Addr) int {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	to := &syscall.SockaddrInet4{Port: addr.(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	if err := syscall.Connect(fd, to); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	return fd
}

type idle struct{}

// handled counts the frames that idle sessions got.
var handled atomic.Int64

func (idle) OnFrame(f []byte) {
	deep(200)
	handled.Add(1)
}

// deep takes 200 bytes of stack a level, and more.
func deep(n int) int {
	var room [128]byte
	room[n%128] = 1
	if n == 0 {
		return int(room[0])
	}
	return deep(n-1) + int(room[n%128])
}

func (idle) OnWritable()   {}
func (idle) OnClose(error) {}

func newCrowd(tb testing.TB, n int) *crowd {
	tb.Helper()
	w := &crowd{}
	accepted := make(chan transport.Conn, n)
	l, err := transport.ListenTCP("127.0.0.1:0", nil, transport.Options{HandshakeTimeout: time.Hour})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		_ = l.Serve(tb.Context(), func(c transport.Conn) transport.Handler { accepted <- c; return idle{} })
	}()
	for range n {
		w.clients = append(w.clients, dialBare(tb, l.Addr()))
		w.conns = append(w.conns, <-accepted)
	}
	return w
}

// drain empties the clients' receive buffers.
func (w *crowd) drain(buf []byte) {
	for _, fd := range w.clients {
		for {
			if n, _, err := syscall.Recvfrom(fd, buf, syscall.MSG_DONTWAIT); err != nil || n < len(buf) {
				break
			}
		}
	}
}

// BenchmarkSend is one image of 102 bytes to one of 1,000 sockets whose readers
// do not wake up; BenchmarkWrite is write(2) for the same, the floor.
func BenchmarkSend(b *testing.B) {
	w := newCrowd(b, 1000)
	image := transport.Stream.AppendImage(nil, protocol.AppendFrame(nil, make([]byte, 101)))
	benchmarkSends(b, w, func(i int) error { return w.conns[i].Send(image) })
}

func BenchmarkWrite(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	w := &crowd{}
	fds := make([]int, 1000)
	for i := range fds {
		w.clients = append(w.clients, dialBare(b, ln.Addr()))
		s, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		raw, err := s.(*net.TCPConn).SyscallConn()
		if err != nil {
			b.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
	}
	image := make([]byte, 102)
	benchmarkSends(b, w, func(i int) error {
		_, err := syscall.Write(fds[i], image)
		return err
	})
}

func benchmarkSends(b *testing.B, w *crowd, send func(int) error) {
	const between = 200_000 // what the receive buffers hold
	buf := make([]byte, 1<<20)
	b.ReportAllocs()
	b.ResetTimer()
	var cpu time.Duration
	begin := cpuTime()
	for i := range b.N {
		if i%between == between-1 {
			b.StopTimer()
			cpu += cpuTime() - begin
			w.drain(buf)
			begin = cpuTime()
			b.StartTimer()
		}
		if err := send(i % 1000); err != nil {
			b.Fatal(err)
		}
	}
	cpu += cpuTime() - begin
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// cpuTime is what this process has used, so that its neighbours do not count.
func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// TestAnIdleConnectionIsSmall measures what connections that have sent one
// frame, whose handling took a deep stack, cost this process without its kernel
// part. The clients, which live here too, are bare sockets.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 4,000 connections")
	}
	if raceDetector {
		t.Skip("the race detector takes memory of its own; make test runs this without it too")
	}
	const n = 2000
	t.Run("tcp", func(t *testing.T) {
		before := resident()
		w := newCrowd(t, n)
		frame := protocol.AppendFrame(nil, make([]byte, 300))
		checkIdle(t, w, before, frame, n)
	})
	t.Run("ws", func(t *testing.T) {
		before := resident()
		w := newWebSocketCrowd(t, n)
		frame := append([]byte{0x82, 0x80 | 126, 302 >> 8, 302 & 0xff, 0, 0, 0, 0}, protocol.AppendFrame(nil, make([]byte, 300))...)
		checkIdle(t, w, before, frame, n)
	})
}

// idleBytes is what an idle connection may take of heap and stacks.
const idleBytes = 6 << 10

func checkIdle(t *testing.T, w *crowd, before int64, frame []byte, n int) {
	t.Helper()
	handled.Store(0)
	for _, fd := range w.clients {
		if _, err := syscall.Write(fd, frame); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); handled.Load() < int64(n); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames arrived", handled.Load(), n)
		}
	}
	per := (resident() - before) / int64(n)
	// The last handlers have counted but may not have given back their stacks.
	for deadline := time.Now().Add(5 * time.Second); per > idleBytes && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		per = (resident() - before) / int64(n)
	}
	t.Logf("heap and stacks: %d bytes a connection", per)
	if per > idleBytes {
		t.Errorf("an idle connection takes %d bytes", per)
	}
	runtime.KeepAlive(w)
}

func newWebSocketCrowd(t *testing.T, n int) *crowd {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ws := transport.NewWebSocket(transport.Options{HandshakeTimeout: time.Hour}, func(transport.Conn) transport.Handler { return idle{} })
	srv := transport.NewHTTPServer(ws)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	w := &crowd{}
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) && err != nil {
			t.Errorf("serve: %v", err)
		}
		_ = ws.Close()
	})
	answer := make([]byte, 4096)
	for range n {
		fd := dialBare(t, ln.Addr())
		w.clients = append(w.clients, fd)
		if _, err := syscall.Write(fd, []byte("GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: barrage.v1.proto\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := syscall.Read(fd, answer); err != nil || !strings.HasPrefix(string(answer[:got]), "HTTP/1.1 101") {
			t.Fatalf("%s, %v", answer[:got], err)
		}
	}
	return w
}

// resident is what heap objects and stacks take.
func resident() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
