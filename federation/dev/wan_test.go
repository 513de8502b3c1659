package dev

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineDelaysAndKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWAN(50 * time.Millisecond)
		far, remote := net.Pipe()
		near := w.link(far)
		began := time.Now()
		go func() {
			for i := range 20 {
				near.Write([]byte{byte(i)}) //nolint:errcheck // what does not arrive is seen below
				time.Sleep(10 * time.Millisecond)
			}
		}()
		for i := range 20 {
			var b [1]byte
			if _, err := io.ReadFull(remote, b[:]); err != nil || b[0] != byte(i) {
				t.Fatalf("byte %d: got %d, %v", i, b[0], err)
			}
			if got, want := time.Since(began), time.Duration(50+10*i)*time.Millisecond; got != want {
				t.Fatalf("byte %d after %s; want %s: a delay must not add up", i, got, want)
			}
		}
		w.close()
		near.Close()
		remote.Close()
	})
}

func TestLineEndsWithEitherSide(t *testing.T) {
	for name, end := range map[string]func(near, remote net.Conn){
		"near": func(near, _ net.Conn) { near.Close() },
		"far":  func(_, remote net.Conn) { remote.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWAN(50 * time.Millisecond)
				far, remote := net.Pipe()
				near := w.link(far)
				end(near, remote)
				for _, c := range []net.Conn{near, remote} {
					if _, err := c.Read(make([]byte, 1)); err == nil {
						t.Error("an end of a broken line still reads")
					}
				}
				w.wg.Wait()
			})
		})
	}
}

// TestLineCarriesMuch fills the line in both directions at once: it must not
// deadlock, and the delay must not limit what it carries.
func TestLineCarriesMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWAN(50 * time.Millisecond)
		far, remote := net.Pipe()
		near := w.link(far)
		const size = 3 << 20
		began := time.Now()
		send := func(c net.Conn) { c.Write(bytes.Repeat([]byte{7}, size)) } //nolint:errcheck // seen by the reader
		read := make(chan int64, 2)
		receive := func(c net.Conn) {
			n, _ := io.CopyN(io.Discard, c, size)
			read <- n
		}
		go send(near)
		go send(remote)
		go receive(near)
		go receive(remote)
		for range 2 {
			if n := <-read; n != size {
				t.Errorf("%d of %d bytes", n, size)
			}
		}
		if took := time.Since(began); took > 60*time.Millisecond {
			t.Errorf("3 MiB took %s over a line of 50ms", took)
		}
		near.Close()
		remote.Close()
		w.close()
	})
}
