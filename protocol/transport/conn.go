package transport

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// conn is the server's side of one connection, over every transport. Its read
// side is in read.go.
type conn struct {
	// Set before the first byte is read, never changed.
	owner   *connSet
	opts    *Options
	nc      net.Conn
	raw     syscall.RawConn // nil where bytes cannot go to the socket directly (TLS)
	info    Info
	handler Handler

	in inbound // owned by the reading goroutine

	closing atomic.Bool // set under mu; the reading goroutine looks without

	mu     sync.Mutex // guards the fields below
	closed bool       // the socket is closed: nothing is written or started
	cause  *protocol.Error
	busy   bool   // a goroutine of writers is writing
	pong   []byte // to be written when it is done; the newest only
	last   []byte // to be written when it is done, then the write side closes
	try    rawWrite
	// writers counts the goroutine that busy speaks of. Waited for before OnClose.
	writers sync.WaitGroup
}

func (c *conn) Info() Info { return c.info }

func (c *conn) Send(image []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || c.closing.Load():
		return net.ErrClosed
	case c.busy:
		return ErrBusy
	}
	return c.write(image)
}

// write sends what the socket takes at once and leaves the rest to a goroutine.
// c.mu is held and c.busy is false.
func (c *conn) write(image []byte) error {
	if c.raw != nil {
		n, err := c.try.write(c.raw, image)
		if err != nil {
			c.closed = true
			_ = c.nc.Close() // wakes the reader, which tells the handler
			return err
		}
		image = image[n:]
	}
	if len(image) > 0 {
		c.busy = true
		c.writers.Add(1)
		go c.drain(image)
	}
	return nil
}

// drain writes what Send could not, and whatever has to follow it.
func (c *conn) drain(image []byte) {
	defer c.writers.Done()
	for image != nil {
		if err := c.push(image); err != nil {
			c.mu.Lock()
			if errors.Is(err, os.ErrDeadlineExceeded) && c.cause == nil {
				c.cause = protocol.Errorf(protocol.CloseSlow, "nothing could be sent for %s", c.opts.WriteStall)
			} // any other error the reader meets too
			c.closed = true
			c.mu.Unlock()
			_ = c.nc.Close()
			return
		}
		c.mu.Lock()
		switch {
		case c.pong != nil:
			image, c.pong = c.pong, nil
		case c.last != nil:
			image, c.last = c.last, nil
		default:
			image, c.busy = nil, false
			_ = c.nc.SetWriteDeadline(time.Time{}) // it would fail the next Send
		}
		c.mu.Unlock()
	}
	if c.closing.Load() {
		c.endWrites()
		return
	}
	c.handler.OnWritable()
}

// tlsChunk is how much must leave within the write stall limit on TLS, where a
// write that times out cannot be told from one that made progress.
const tlsChunk = 16 << 10

// push writes image, however long it takes, as long as there is progress.
func (c *conn) push(image []byte) error {
	for len(image) > 0 {
		limit := c.opts.WriteStall
		if c.closing.Load() {
			limit = c.opts.CloseWait
		}
		chunk := image
		if c.raw == nil {
			chunk = image[:min(len(image), tlsChunk)]
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(limit))
		n, err := c.nc.Write(chunk)
		image = image[n:]
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err == nil || late && n > 0 && c.raw != nil && !c.closing.Load() {
			continue
		}
		return err
	}
	return nil
}

// sendPong answers a ping. While something else is on its way only the newest
// waits, as RFC 6455, section 5.5.3, allows.
func (c *conn) sendPong(payload []byte) {
	pong := append(appendWSHeader(nil, opPong, len(payload)), payload...)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed || c.closing.Load():
	case c.busy:
		c.pong = pong
	default:
		_ = c.write(pong)
	}
}

func (c *conn) CloseWith(image []byte, code protocol.Code) {
	c.closeWith(image, uint16(code), &protocol.Error{Code: code, Message: "closed by the server"})
}

// closeWith is CloseWith with another WebSocket status than the code. cause is
// nil when the client closed.
func (c *conn) closeWith(image []byte, status uint16, cause *protocol.Error) {
	if c.info.Format != Stream {
		reason := ""
		if cause != nil {
			reason = cause.Code.Name()
		}
		image = appendWSClose(image[:len(image):len(image)], status, reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.closing.Load() {
		return
	}
	c.closing.Store(true)
	c.cause = cause
	_ = c.nc.SetReadDeadline(time.Now().Add(c.opts.CloseWait))
	if c.busy {
		c.last = image
		// What is in flight gets no more than this to leave.
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.opts.CloseWait))
		return
	}
	if len(image) > 0 && c.write(image) != nil {
		return
	}
	if !c.busy {
		c.endWrites()
	}
}

// endWrites tells the peer that nothing follows. The socket is closed by the
// reader, after the peer closed its side or CloseWait: closing it here could
// make the kernel throw away what has not been read yet.
func (c *conn) endWrites() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.nc.Close()
}

// arm sets the time by which something must have been read; 0 lifts it.
func (c *conn) arm(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() || c.closed {
		return
	}
	var at time.Time
	if after > 0 {
		at = time.Now().Add(after)
	}
	_ = c.nc.SetReadDeadline(at)
}

// shut closes the socket, waits for the writers and returns why, if the server
// knows better than the reader.
func (c *conn) shut() *protocol.Error {
	_ = c.nc.Close()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.writers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}
