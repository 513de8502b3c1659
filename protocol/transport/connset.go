package transport

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol"
)

// Accept is called for each new connection, before its first byte is read. It
// returns the session behind it, or nil to refuse it: a refusal with a reason
// calls CloseWith first. It runs on the connection's own goroutine, so that it
// may take its time, and nothing is read meanwhile.
type Accept func(Conn) Handler

// connSet owns the goroutines of a listener's connections.
type connSet struct {
	opts *Options

	mu     sync.Mutex // guards the fields below
	conns  map[*conn]struct{}
	closed bool
	wg     sync.WaitGroup
}

func newConnSet(o Options) *connSet {
	return &connSet{opts: o.withDefaults(), conns: make(map[*conn]struct{})}
}

// start runs a connection on a goroutine of its own. ready, if set, does what
// is still to be done before frames flow, such as a TLS handshake.
func (s *connSet) start(nc net.Conn, info Info, accept Accept, ready func(*conn) error) {
	c := &conn{owner: s, opts: s.opts, nc: nc, raw: rawConn(nc), info: info}
	if info.Format == Stream {
		c.in.parser = new(streamParser)
	} else {
		c.in.parser = new(wsParser)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.opts.Refused("closed")
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go s.run(c, accept, ready)
}

func (s *connSet) run(c *conn, accept Accept, ready func(*conn) error) {
	_ = c.nc.SetReadDeadline(c.info.Since.Add(s.opts.HandshakeTimeout))
	c.in.armed = 1
	if ready != nil {
		if err := ready(c); err != nil {
			_ = c.shut()
			s.forget(c)
			return
		}
	}
	if c.handler = accept(c); c.handler != nil {
		s.serve(c)
		return
	}
	if c.closing.Load() {
		c.linger()
	}
	_ = c.shut() // nobody is there to be told
	s.forget(c)
}

// serve reads until the connection ends and tells the handler why. It is what
// an event loop would replace.
func (s *connSet) serve(c *conn) {
	err := c.read()
	if errors.Is(err, errSettled) {
		go s.serve(c)
		return
	}
	c.handler.OnClose(c.finish(err))
	s.forget(c)
}

// forget ends the goroutine's part of the set.
func (s *connSet) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.wg.Done()
}

// wait returns when every connection has ended.
func (s *connSet) wait() { s.wg.Wait() }

// close ends every connection now, with CloseDraining, and waits for them. It
// takes Options.CloseWait at most; sessions that drain close theirs before.
func (s *connSet) close() {
	s.mu.Lock()
	s.closed = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	cause := &protocol.Error{Code: protocol.CloseDraining, Message: "this edge stops; connect to another one"}
	for _, c := range conns {
		c.closeWith(s.opts.Close(c.info.Format, cause), uint16(cause.Code), cause)
	}
	s.wait()
}

// backOff waits after an accept failed, which is mostly a lack of descriptors:
// longer each time, at most a second.
func backOff(before time.Duration) time.Duration {
	return min(max(2*before, 5*time.Millisecond), time.Second)
}
