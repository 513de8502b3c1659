package lean

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a Handler whose units are lines.
type lines struct {
	got    chan string
	closed chan error
}

func newLines() *lines { return &lines{make(chan string, 100), make(chan error, 1)} }

func (h *lines) Consume(_ *Conn, data []byte) (int, error) {
	used := 0
	for {
		line, _, ok := bytes.Cut(data[used:], []byte("\n"))
		if !ok {
			return used, nil
		}
		if string(line) == "bad" {
			return used, errors.New("bad line")
		}
		used += len(line) + 1
		h.got <- string(line)
	}
}

func (h *lines) Closed(err error) { h.closed <- err }

// wrapped hides that a connection is TCP, so that it is read the portable way.
type wrapped struct{ net.Conn }

// each runs a test over both ways of reading.
func each(t *testing.T, test func(t *testing.T, server net.Conn, add func(received string) (*Conn, *lines))) {
	for name, disguise := range map[string]func(net.Conn) net.Conn{
		"shared":   func(c net.Conn) net.Conn { return c },
		"portable": func(c net.Conn) net.Conn { return wrapped{c} },
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			server, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			loop, err := NewLoop()
			if err != nil {
				t.Fatal(err)
			}
			defer loop.Close()
			test(t, server, func(received string) (*Conn, *lines) {
				h := newLines()
				c, err := loop.Add(disguise(nc), []byte(received), h)
				if err != nil {
					t.Fatal(err)
				}
				return c, h
			})
		})
	}
}

func receive[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestUnitsComeWhole(t *testing.T) {
	each(t, func(t *testing.T, server net.Conn, add func(string) (*Conn, *lines)) {
		c, h := add("early\nand ha")
		if got := receive(t, h.got); got != "early" {
			t.Errorf("first %q", got)
		}
		for _, part := range []string{"l", "f\nnext", "\nlast\n"} {
			if _, err := io.WriteString(server, part); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"and half", "next", "last"} {
			if got := receive(t, h.got); got != want {
				t.Errorf("got %q; want %q", got, want)
			}
		}
		if err := c.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 6)
		if _, err := io.ReadFull(server, answer); err != nil || string(answer) != "answer" {
			t.Errorf("server read %q, %v", answer, err)
		}
	})
}

func TestEndsAreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(server net.Conn, c *Conn)
		want error
	}{
		"server closes": {func(server net.Conn, _ *Conn) { server.Close() }, io.EOF},
		"we cut":        {func(_ net.Conn, c *Conn) { c.Cut() }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, server net.Conn, add func(string) (*Conn, *lines)) {
				conn, h := add("")
				c.end(server, conn)
				if err := receive(t, h.closed); !errors.Is(err, c.want) {
					t.Errorf("closed with %v; want %v", err, c.want)
				}
				conn.Cut() // late, and twice: does nothing
				if err := conn.Write([]byte("x")); err == nil {
					t.Error("a closed connection took a write")
				}
			})
		})
	}
}

func TestBadUnitClosesTheConnection(t *testing.T) {
	each(t, func(t *testing.T, server net.Conn, add func(string) (*Conn, *lines)) {
		_, h := add("bad\n")
		if err := receive(t, h.closed); err == nil || err.Error() != "bad line" {
			t.Errorf("closed with %v", err)
		}
		if _, err := server.Read(make([]byte, 1)); err == nil {
			t.Error("the server's end is still open")
		}
	})
}

// FuzzMessages: whatever a server sends, used stays within data, and a frame
// cut in two is the same as a whole one.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0x82, 3, 'a', 'b', 'c', 0x89, 0, 0x88, 2, 0x03, 0xe8}, 3)
	f.Add([]byte{0x82, 126, 0, 1, 'x', 0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		run := func(data []byte) (text []byte, used int, err error) {
			used, err = Messages(data, func([]byte) error { return nil }, func(p []byte) error {
				text = append(text, p...)
				return nil
			})
			if used < 0 || used > len(data) {
				t.Fatalf("used %d of %d", used, len(data))
			}
			return text, used, err
		}
		whole, _, err := run(data)
		if cut < 0 || cut > len(data) {
			return
		}
		first, used, ferr := run(data[:cut])
		if ferr == nil {
			var rest []byte
			rest, _, ferr = run(data[used:])
			first = append(first, rest...)
		}
		if !bytes.Equal(whole, first) || (err == nil) != (ferr == nil) {
			t.Fatalf("whole: %q %v, in two: %q %v", whole, err, first, ferr)
		}
	})
}
