// Package transport carries client frames over TCP, TLS and WebSocket. It is
// the one door to gorilla/websocket. It knows framing and back-pressure, and
// nothing of rooms or sessions.
//
// On a byte stream (TCP, TLS) a frame is its length as a minimal uvarint,
// then that many bytes of one protobuf frame. In a binary WebSocket message
// (subprotocol barrage.v1.proto) there are one or more such frames; in a text
// message (barrage.v1.json) one or more JSON objects separated by newlines.
package transport

import (
	"errors"
	"net"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// Encoding is how frames are written.
type Encoding = protocol.Encoding

// The encodings.
const (
	Proto = protocol.Proto
	JSON  = protocol.JSON
)

// Format is encoding and envelope together: everybody with the same Format can
// be sent the very same bytes.
type Format uint8

// The formats.
const (
	Stream   Format = iota // uvarint length + protobuf, on TCP, TLS (and QUIC)
	WSBinary               // the same inside a binary WebSocket message
	WSText                 // JSON lines inside a text WebSocket message
	NumFormats
)

// Encoding is how the frames inside this format are written.
func (f Format) Encoding() Encoding {
	if f == WSText {
		return JSON
	}
	return Proto
}

// Info says what a connection is.
type Info struct {
	Transport string // "tcp", "tls", "ws", "wss"
	Format    Format
	Remote    net.Addr
	Origin    string // WebSocket only
	Since     time.Time
}

// ErrBusy: the previous image has not left yet; OnWritable will be called.
var ErrBusy = errors.New("transport: previous write has not left yet")

// Conn is the server's side of one client connection.
//
// Reading is pushed: the transport calls the Handler. Whether a goroutine per
// connection or one event loop per core does that is the transport's affair.
type Conn interface {
	Info() Info

	// Send takes a whole image (bytes made by Format.Append…, never changed
	// afterwards, possibly shared by thousands of connections) or returns
	// ErrBusy and takes nothing. It never blocks. If the socket does not take
	// all of it at once, the connection keeps a reference to the remainder,
	// writes it out by itself, and then calls OnWritable. When the remainder
	// makes no progress for the write-stall limit, the connection is closed
	// with CloseSlow. May be called by any goroutine.
	Send(image []byte) error

	// CloseWith sends a last image (as Send does; nil for none) behind what is
	// still on its way and, on WebSocket, code as the close code, waits a
	// bounded time for both to leave without blocking the caller, and closes.
	// No OnFrame and no OnWritable begin after it; OnClose follows with a
	// *protocol.Error that holds code. May be called by any goroutine, more
	// than once; the first call counts.
	CloseWith(image []byte, code protocol.Code)

	// Hold leaves the client's further bytes where they are for d, at most
	// MaxHold: the next OnFrame begins no earlier, and TCP slows the client down
	// meanwhile. It does not block. Only for the Handler, inside OnFrame.
	Hold(d time.Duration)
}

// MaxHold bounds one Hold, so that a connection on hold can be ended soon.
const MaxHold = time.Second

// Handler is the session behind a connection. OnFrame and OnClose never
// overlap one another; OnWritable may overlap both.
type Handler interface {
	// OnFrame gets the bytes of one frame (without length or newline), valid
	// during the call only.
	OnFrame(frame []byte)
	// OnWritable: a Send that returned ErrBusy may be tried again. Also called
	// after a partial write has left.
	OnWritable()
	// OnClose is the last call. err says why reading ended: nil or io.EOF for
	// the client's own close, a *protocol.Error with a close code when the
	// client broke the framing or stalled.
	OnClose(err error)
}
