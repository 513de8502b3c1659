package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/barrage-im/barrage/protocol"
)

// DialOptions say how to connect.
type DialOptions struct {
	TLS      *tls.Config // for tcps and wss; nil for the system's roots
	Encoding Encoding    // on WebSocket; a byte stream is always Proto
	Header   http.Header // of the WebSocket request, such as Origin
}

// ClientConn is a client's side of a connection. One goroutine may call
// ReadFrame while any number call WriteFrames and Close.
type ClientConn struct {
	nc     net.Conn
	ws     *websocket.Conn // nil on a byte stream
	enc    Encoding
	format Format
	br     *bufio.Reader // byte stream only

	// Owned by the reader.
	buf    []byte // of the frame returned last, on a byte stream
	rest   []byte // of the message read last, on WebSocket
	closed error  // what the server's close frame said

	mu sync.Mutex // held while writing
}

// Dial connects to an edge: tcp://host:port, tcps://host:port, or a ws:// or
// wss:// URL, whose path is WebSocketPath if it has none.
func Dial(ctx context.Context, rawURL string, o DialOptions) (*ClientConn, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	switch u.Scheme {
	case "tcp", "tcps":
		return dialStream(ctx, u, o)
	case "ws", "wss":
		return dialWebSocket(ctx, u, o)
	}
	return nil, fmt.Errorf("dial %s: the scheme must be tcp, tcps, ws or wss", u.Redacted())
}

func dialStream(ctx context.Context, u *url.URL, o DialOptions) (*ClientConn, error) {
	var (
		nc  net.Conn
		err error
	)
	if u.Scheme == "tcp" {
		nc, err = new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	} else {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLS != nil {
			config = o.TLS.Clone()
		}
		config.NextProtos = []string{ALPN}
		nc, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", u.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", u.Redacted(), err)
	}
	return &ClientConn{nc: nc, br: bufio.NewReaderSize(nc, 4<<10)}, nil
}

func dialWebSocket(ctx context.Context, u *url.URL, o DialOptions) (*ClientConn, error) {
	if u.Path == "" || u.Path == "/" {
		u.Path = WebSocketPath
	}
	d := websocket.Dialer{TLSClientConfig: o.TLS, Subprotocols: []string{SubprotocolProto}, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10}
	format := WSBinary
	if o.Encoding == JSON {
		d.Subprotocols, format = []string{SubprotocolJSON}, WSText
	}
	ws, res, err := d.DialContext(ctx, u.String(), o.Header)
	if err != nil {
		return nil, dialError(u, res, err)
	}
	if ws.Subprotocol() != d.Subprotocols[0] {
		_ = ws.Close()
		return nil, fmt.Errorf("dial %s: the server does not speak %s", u.Redacted(), d.Subprotocols[0])
	}
	ws.SetReadLimit(protocol.MaxServerFrame + ImageOverhead)
	return &ClientConn{nc: ws.NetConn(), ws: ws, enc: format.Encoding(), format: format}, nil
}

// dialError adds what the server answered instead of an upgrade.
func dialError(u *url.URL, res *http.Response, err error) error {
	if res == nil {
		return fmt.Errorf("dial %s: %w", u.Redacted(), err)
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 256))
	_ = res.Body.Close()
	return fmt.Errorf("dial %s: %s: %s", u.Redacted(), res.Status, bytes.TrimSpace(body))
}

// Encoding is how frames are written on this connection.
func (c *ClientConn) Encoding() Encoding { return c.enc }

// Remote is the server's address.
func (c *ClientConn) Remote() net.Addr { return c.nc.RemoteAddr() }

// SetReadDeadline bounds ReadFrame; after it passed the connection is of no use.
func (c *ClientConn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// ReadFrame returns the next frame, without length or newline, valid until the
// next call. When the server closed with a code the error is a *protocol.Error.
func (c *ClientConn) ReadFrame() ([]byte, error) {
	frame, err := c.next()
	if err != nil {
		return nil, c.why(err)
	}
	if c.isClose(frame) {
		if f, err := protocol.DecodeServer(c.enc, frame); err == nil && f.GetClose() != nil {
			c.closed = &protocol.Error{Code: protocol.Code(f.GetClose().Code), Message: f.GetClose().Message}
		}
	}
	return frame, nil
}

// why prefers what the server said to how the connection ended.
func (c *ClientConn) why(err error) error {
	var status *websocket.CloseError
	switch {
	case c.closed != nil:
		return c.closed
	case errors.As(err, &status) && status.Code >= 4000:
		return &protocol.Error{Code: protocol.Code(status.Code), Message: status.Text}
	}
	return err
}

// isClose tells a close frame by its first bytes, the tag of its only field.
func (c *ClientConn) isClose(frame []byte) bool {
	if c.enc == JSON {
		return bytes.HasPrefix(frame, []byte(`{"close":`))
	}
	return bytes.HasPrefix(frame, []byte{0xb2, 0x01})
}

func (c *ClientConn) next() ([]byte, error) {
	if c.ws == nil {
		return c.nextInStream()
	}
	for {
		frame, rest, err := c.cut(c.rest)
		if err != nil || frame != nil {
			c.rest = rest
			return frame, err
		}
		if _, c.rest, err = c.ws.ReadMessage(); err != nil {
			return nil, err
		}
	}
}

// cut takes the first frame of a message; frame is nil at its end.
func (c *ClientConn) cut(message []byte) (frame, rest []byte, err error) {
	if len(message) == 0 {
		return nil, nil, nil
	}
	if c.enc == JSON {
		frame, rest, _ = bytes.Cut(message, []byte{'\n'})
		return frame, rest, nil
	}
	frame, rest, err = protocol.NextFrame(message, protocol.MaxServerFrame)
	if err == nil && frame == nil {
		err = protocol.Errorf(protocol.CloseMalformed, "a WebSocket message ended inside a frame")
	}
	return frame, rest, err
}

func (c *ClientConn) nextInStream() ([]byte, error) {
	size, err := binary.ReadUvarint(c.br)
	if err != nil {
		return nil, err
	}
	if size == 0 || size > protocol.MaxServerFrame {
		return nil, protocol.Errorf(protocol.CloseMalformed, "a frame of %d bytes from the server", size)
	}
	if uint64(cap(c.buf)) < size {
		c.buf = make([]byte, size)
	}
	c.buf = c.buf[:size]
	if _, err := io.ReadFull(c.br, c.buf); err != nil {
		return nil, err
	}
	return c.buf, nil
}

// writeTimeout is how long WriteFrames may take.
const writeTimeout = 15 * time.Second

// WriteFrames sends frames as protocol.AppendClient writes them, one or several
// after the other.
func (c *ClientConn) WriteFrames(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if c.ws == nil {
		_, err := c.nc.Write(frames)
		return err
	}
	kind := websocket.BinaryMessage
	if c.enc == JSON {
		kind = websocket.TextMessage
	}
	for len(frames) > 0 {
		n, err := c.fit(frames)
		if err != nil {
			return err
		}
		if err := c.ws.WriteMessage(kind, frames[:n]); err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// fit is the length of as many whole frames as one message may hold.
func (c *ClientConn) fit(frames []byte) (int, error) {
	if len(frames) <= protocol.MaxClientFrame {
		return len(frames), nil
	}
	n := 0
	for n < len(frames) {
		size := bytes.IndexByte(frames[n:], '\n') + 1
		if c.enc == Proto {
			_, rest, err := protocol.NextFrame(frames[n:], protocol.MaxClientFrame)
			if err != nil {
				return 0, err
			}
			size = len(frames) - n - len(rest)
		}
		if size <= 0 {
			return 0, errors.New("write frames: the last frame is not complete")
		}
		if n > 0 && n+size > protocol.MaxClientFrame {
			break
		}
		n += size
	}
	return n, nil
}

// Close says goodbye where the transport can, without waiting, and closes.
func (c *ClientConn) Close() error {
	if c.ws != nil {
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
	return c.nc.Close()
}
