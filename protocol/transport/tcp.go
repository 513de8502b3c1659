package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// ALPN is the application protocol that TLS clients of the byte stream name.
const ALPN = "barrage/1"

// Listener accepts byte stream connections, with or without TLS.
type Listener struct {
	ln   net.Listener
	tls  *tls.Config
	set  *connSet
	name string
}

// ListenTCP opens addr. With a TLS configuration, whose ALPN is set here,
// connections begin with a TLS 1.2 or later handshake.
func ListenTCP(addr string, config *tls.Config, o Options) (*Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	l := &Listener{ln: ln, set: newConnSet(o), name: "tcp"}
	if config != nil {
		l.name, l.tls = "tls", config.Clone()
		l.tls.NextProtos = []string{ALPN}
		l.tls.MinVersion = max(l.tls.MinVersion, tls.VersionTLS12)
	}
	return l, nil
}

// Addr is where the listener listens.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Serve accepts connections until ctx is cancelled, and returns nil then. The
// connections live on: their sessions end them, then Wait, or Close at once.
func (l *Listener) Serve(ctx context.Context, accept Accept) error {
	stop := context.AfterFunc(ctx, func() { _ = l.ln.Close() })
	defer stop()
	var pause time.Duration
	for {
		nc, err := l.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			l.start(nc, accept)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		default:
			pause = backOff(pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (l *Listener) start(nc net.Conn, accept Accept) {
	info := Info{Transport: l.name, Format: Stream, Remote: nc.RemoteAddr(), Since: time.Now()}
	if l.tls == nil {
		l.set.start(nc, info, accept, nil)
		return
	}
	l.set.start(tls.Server(nc, l.tls), info, accept, l.handshake)
}

func (l *Listener) handshake(c *conn) error {
	deadline := c.info.Since.Add(c.opts.HandshakeTimeout)
	_ = c.nc.SetDeadline(deadline)
	if err := c.nc.(*tls.Conn).HandshakeContext(context.Background()); err != nil {
		c.opts.Refused("tls")
		return err
	}
	_ = c.nc.SetWriteDeadline(time.Time{})
	return nil
}

// Wait returns when every connection has ended. Call it after Serve.
func (l *Listener) Wait() { l.set.wait() }

// Close stops accepting, ends every connection and waits for their goroutines.
func (l *Listener) Close() error {
	err := l.ln.Close()
	l.set.close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
