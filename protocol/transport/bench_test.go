package transport_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
)

// crowd is n idle TCP clients of a listener, and the server's ends.
type crowd struct {
	clients []*net.TCPConn
	conns   []transport.Conn
}

type idle struct{}

func (idle) OnFrame([]byte) {}
func (idle) OnWritable()    {}
func (idle) OnClose(error)  {}

func newCrowd(tb testing.TB, n int) *crowd {
	tb.Helper()
	accepted := make(chan transport.Conn, n)
	l, err := transport.ListenTCP("127.0.0.1:0", nil, transport.Options{HandshakeTimeout: time.Hour})
	if err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = l.Serve(tb.Context(), func(c transport.Conn) transport.Handler { accepted <- c; return idle{} })
	}()
	w := &crowd{}
	for range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		w.clients = append(w.clients, c.(*net.TCPConn))
		w.conns = append(w.conns, <-accepted)
	}
	tb.Cleanup(func() {
		for _, c := range w.clients {
			_ = c.Close()
		}
		_ = l.Close()
	})
	return w
}

// drain empties the clients' receive buffers.
func (w *crowd) drain(tb testing.TB, buf []byte) {
	for _, c := range w.clients {
		for {
			_ = c.SetReadDeadline(time.Now().Add(50 * time.Microsecond))
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				tb.Fatal(err)
			}
			if n < len(buf) {
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
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		w.clients = append(w.clients, c.(*net.TCPConn))
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
	for i := range b.N {
		if i%between == between-1 {
			b.StopTimer()
			w.drain(b, buf)
			b.StartTimer()
		}
		if err := send(i % 1000); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAnIdleConnectionIsSmall measures what 2,000 connections that have sent one
// frame cost this process, which holds their clients too.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 2,000 connections")
	}
	const n = 2000
	before := resident()
	w := newCrowd(t, n)
	frame := protocol.AppendFrame(nil, make([]byte, 300))
	for _, c := range w.clients {
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.GC()
	after := resident()
	per := (after - before) / n
	t.Logf("heap and stacks: %d bytes a connection, the client's end included", per)
	if per > 8<<10 {
		t.Errorf("an idle connection takes %d bytes", per)
	}
	runtime.KeepAlive(w)
}

// resident is what heap objects and stacks take.
func resident() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
