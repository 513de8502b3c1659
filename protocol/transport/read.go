package transport

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// inbound is the read side of a connection: what has been read of a frame that
// is not complete yet, and nothing between frames.
type inbound struct {
	parser parser
	raw    rawRead
	frames uint64        // given to the handler
	armed  uint64        // which frame the read deadline is for, counted from 1; 0 when there is none
	hold   time.Duration // how long the handler wants no further frame
}

// A parser takes a connection's bytes as they come and cuts frames out of them.
// It keeps what it needs of a frame's beginning, never more than was received.
type parser interface {
	// feed takes bytes that are valid during the call only and may be changed
	// by it. It returns errPeerClosed, errStopped or a *fault, and is not
	// called again after that.
	feed(c *conn, b []byte) error
	// partial reports whether a frame has begun and not ended.
	partial() bool
}

// fault is a client's breach of the rules below frames.
type fault struct {
	cause  *protocol.Error
	status uint16 // WebSocket close code; 0 means that of cause
}

func (f *fault) Error() string { return f.cause.Error() }

func broken(code protocol.Code, status uint16, message string) *fault {
	return &fault{cause: &protocol.Error{Code: code, Message: message}, status: status}
}

var (
	errPeerClosed = errors.New("transport: the client closed")
	errStopped    = errors.New("transport: closing")
	// errSettled ends the goroutine that has read the first frame. To verify a
	// token took a deep stack, which the collector would halve only once in a
	// cycle; the next goroutine, which may wait for hours, begins with a small one.
	errSettled = errors.New("transport: the first frame was read")
)

func (c *conn) Hold(d time.Duration) { c.in.hold = d }

// deliver gives the handler one frame.
func (c *conn) deliver(frame []byte) error {
	if c.closing.Load() {
		return errStopped
	}
	c.in.frames++
	c.handler.OnFrame(frame)
	if c.in.hold > 0 {
		time.Sleep(min(c.in.hold, MaxHold))
		c.in.hold = 0
	}
	return nil
}

func (c *conn) read() error {
	if c.raw != nil {
		return c.readRaw()
	}
	buf := make([]byte, 1<<10) // TLS keeps a record's worth of its own
	for {
		n, err := c.nc.Read(buf)
		if n > 0 {
			if err := c.consume(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) readRaw() error {
	for {
		b, err := c.in.raw.read(c.raw)
		if err != nil {
			return err
		}
		before := c.in.frames
		err = c.consume(b)
		c.in.raw.done()
		if err != nil {
			return err
		}
		if before == 0 && c.in.frames > 0 {
			return errSettled
		}
	}
}

// consume parses what was read and keeps the deadlines: one for the first frame
// from the connection's beginning, one for each frame from its first byte.
func (c *conn) consume(b []byte) error {
	if c.closing.Load() {
		return nil
	}
	err := c.in.parser.feed(c, b)
	if err != nil {
		return err
	}
	partial, due := c.in.parser.partial(), c.in.frames+1
	switch {
	case c.in.frames == 0: // HandshakeTimeout runs
	case partial && c.in.armed != due:
		c.arm(c.opts.FrameTimeout)
		c.in.armed = due
	case !partial && c.in.armed != 0:
		c.arm(0)
		c.in.armed = 0
	}
	return nil
}

// finish ends a connection that was read up to err, and returns what the
// handler is told.
func (c *conn) finish(err error) error {
	var f *fault
	switch {
	case errors.Is(err, errPeerClosed):
		c.closeWith(nil, statusNormal, nil)
		err = nil
	case errors.As(err, &f):
		c.fail(f)
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.closing.Load():
		c.fail(c.late())
	}
	if c.closing.Load() && !errors.Is(err, io.EOF) { // else the client is gone already
		c.linger()
	}
	if cause := c.shut(); cause != nil {
		return cause
	}
	return err
}

// fail closes for a broken rule.
func (c *conn) fail(f *fault) {
	status := f.status
	if status == 0 {
		status = uint16(f.cause.Code)
	}
	c.closeWith(c.opts.Close(c.info.Format, f.cause), status, f.cause)
}

// late says which deadline passed.
func (c *conn) late() *fault {
	if c.in.frames == 0 {
		return broken(protocol.CloseHandshakeTimeout, 0, "the first frame did not come in time; send connect at once")
	}
	return broken(protocol.CloseMalformed, 0, "a frame was begun and did not end in time")
}

// linger throws away what the client still sends until it closes too. The
// deadline was set by closeWith.
func (c *conn) linger() {
	var scratch [512]byte
	for {
		if _, err := c.nc.Read(scratch[:]); err != nil {
			return
		}
	}
}
