// Package lean reads thousands of client connections at little cost. It is the
// load generator's own client: raw frames, no goroutine per connection where
// the system allows it, one read buffer per loop. It checks nothing but the
// framing; what arrives is the Handler's affair.
package lean

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// readBuffer is what a loop reads at a time, in bytes: many small frames of a
// busy member in one system call.
const readBuffer = 256 << 10

// ErrClosed: the loop has been closed.
var ErrClosed = errors.New("lean: loop closed")

// A Handler gets what a connection received. Its methods never overlap one
// another. They run on the loop and must not block.
type Handler interface {
	// Consume takes whole units from the front of data, which is valid during
	// the call only, and returns how many bytes it used; the rest comes again
	// with more behind it. An error closes the connection.
	Consume(c *Conn, data []byte) (int, error)
	// Closed is the last call. err is io.EOF when the server closed in order,
	// ErrClosed when we did.
	Closed(err error)
}

// A Conn is one connection that a Loop reads.
type Conn struct {
	net     socket
	handler Handler
	rest    []byte // received, not yet consumed. Owned by the reader
	cut     atomic.Bool
}

// A socket is the little that a Conn needs of one.
type socket interface {
	io.Writer
	// Shutdown ends both directions at once; a reader sees the end.
	Shutdown()
}

// Write sends a small frame. It may be called by any goroutine; one call is one
// piece. A socket that takes only part of it is an error: the generator sends
// nothing that a working server would not take at once.
func (c *Conn) Write(frame []byte) error {
	_, err := c.net.Write(frame)
	return err
}

// Cut ends the connection without a word, as a broken network does. Closed
// follows on the loop.
func (c *Conn) Cut() {
	c.cut.Store(true)
	c.net.Shutdown()
}

// feed gives data to the handler, together with what was left of the time
// before.
func (c *Conn) feed(data []byte) error {
	if len(c.rest) > 0 {
		c.rest = append(c.rest, data...)
		data = c.rest
	}
	used, err := c.handler.Consume(c, data)
	if err != nil {
		return err
	}
	if used == len(data) {
		c.rest = nil
		return nil
	}
	c.rest = append(c.rest[:0], data[used:]...)
	return nil
}

func (c *Conn) closed(err error) {
	if c.cut.Load() {
		err = ErrClosed
	}
	c.handler.Closed(err)
}

// A Loop reads connections until it is closed. Plain TCP connections share one
// goroutine on Linux; others get one each.
type Loop struct {
	poll poller

	wg sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	conns  map[*Conn]struct{}
	closed bool
}

// NewLoop starts a loop.
func NewLoop() (*Loop, error) {
	l := &Loop{conns: make(map[*Conn]struct{})}
	if err := l.poll.open(); err != nil {
		return nil, err
	}
	l.wg.Go(func() { l.poll.run(l) })
	return l, nil
}

// Add takes a connection over, with the bytes that had been read from it
// already. nc must not be used any more afterwards.
func (l *Loop) Add(nc net.Conn, received []byte, h Handler) (*Conn, error) {
	c := &Conn{handler: h, rest: append([]byte(nil), received...)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		nc.Close()
		return nil, ErrClosed
	}
	taken, err := l.poll.add(c, nc)
	if err != nil {
		return nil, err
	}
	if !taken {
		c.net = stream{nc}
		l.wg.Go(func() { l.read(c, nc) })
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Close cuts every connection and waits until the last Closed has returned.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Cut()
	}
	l.mu.Unlock()
	l.poll.stop()
	l.wg.Wait()
}

func (l *Loop) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// read is the portable way: a goroutine for one connection.
func (l *Loop) read(c *Conn, nc net.Conn) {
	buffer := make([]byte, 16<<10)
	err := c.feed(nil)
	for err == nil {
		var n int
		if n, err = nc.Read(buffer); n > 0 {
			if ferr := c.feed(buffer[:n]); ferr != nil {
				err = ferr
			}
		}
	}
	nc.Close()
	l.forget(c)
	c.closed(err)
}

type stream struct{ net.Conn }

func (s stream) Shutdown() { s.Close() }
