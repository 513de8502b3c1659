package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streamLayer is what raft's transport of one shard dials and accepts through.
// A connection begins with the shard's number as a uvarint; the rest is raft's.
type streamLayer struct {
	node     *Node
	shard    uint32
	accepted chan net.Conn
	done     chan struct{}

	mu     sync.Mutex // guards the fields below
	conns  map[*raftConn]struct{}
	in     int // of conns, accepted
	closed bool
}

var _ raft.StreamLayer = (*streamLayer)(nil)

func newStreamLayer(n *Node, shard uint32) *streamLayer {
	return &streamLayer{
		node: n, shard: shard, accepted: make(chan net.Conn), done: make(chan struct{}),
		conns: map[*raftConn]struct{}{},
	}
}

// raftConn is a connection that its layer knows, so that closing the layer
// closes it: raft's transport forgets those that it serves. One that was
// accepted bounds what a peer may send in one request.
type raftConn struct {
	net.Conn
	r     *bufio.Reader
	layer *streamLayer
	in    bool

	// Owned by the reading goroutine of raft's transport, which also writes.
	budget int64 // bytes that the present request may still have
	fresh  bool  // the next byte read begins a request
}

var errRequestTooLarge = errors.New("raft request too large")

// rpcInstallSnapshot is the first byte of the one request that may be long; the
// snapshot store bounds it by the free space.
const rpcInstallSnapshot = 2

// maxStall is how long a request that has begun may bring nothing more: what a
// peer waits for an answer.
const maxStall = rpcTimeout

func (c *raftConn) Read(p []byte) (int, error) {
	if !c.in {
		return c.Conn.Read(p)
	}
	if c.budget <= 0 {
		c.layer.node.metrics.conns.WithLabelValues("request_too_large").Inc()
		return 0, errRequestTooLarge
	}
	// Raft reads a snapshot on the goroutine that does everything else: a peer
	// that stops in the middle of one must not stop the shard.
	var until time.Time
	if !c.fresh {
		until = time.Now().Add(c.layer.node.cfg.hooks.requestStall())
	}
	if err := c.Conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.layer.node.metrics.conns.WithLabelValues("stalled").Inc()
	}
	if n > 0 {
		if c.fresh && p[0] == rpcInstallSnapshot {
			c.budget = 1<<63 - 1
		}
		c.fresh = false
		c.budget -= int64(n)
	}
	return n, err
}

func (c *raftConn) Write(p []byte) (int, error) {
	c.budget, c.fresh = c.layer.node.cfg.hooks.requestBound(), true
	return c.Conn.Write(p)
}

func (c *raftConn) Close() error {
	c.layer.forget(c)
	return c.Conn.Close()
}

func (l *streamLayer) forget(c *raftConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; ok {
		delete(l.conns, c)
		if c.in {
			l.in--
		}
	}
}

func (l *streamLayer) remember(c *raftConn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if c.in {
		if l.in >= maxConns {
			return errors.New("too many raft connections")
		}
		l.in++
	}
	l.conns[c] = struct{}{}
	return nil
}

// Dial opens a connection to a peer's replica of this shard.
func (l *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.node.ctx, timeout)
	defer cancel()
	conn, err := l.node.cfg.Dial(ctx, string(address))
	if err != nil {
		return nil, err
	}
	c := &raftConn{Conn: conn, layer: l}
	if err := l.remember(c); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err == nil {
		_, err = conn.Write(binary.AppendUvarint(nil, uint64(l.shard)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open raft connection to %s: %w", address, err), c.Close())
		}
	}
	return c, conn.SetWriteDeadline(time.Time{})
}

// Accept waits for a connection from Node.Handoff.
func (l *streamLayer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes every connection of the shard.
func (l *streamLayer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	conns := make([]*raftConn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // its peer sees it either way
	}
	return nil
}

type address string

func (address) Network() string  { return "raft" }
func (a address) String() string { return string(a) }

func (l *streamLayer) Addr() net.Addr { return address(l.node.cfg.Address) }

// Handoff takes an accepted, authenticated raft connection over: it reads the
// shard's number within headerTimeout and gives the connection to that shard,
// or closes it.
func (n *Node) Handoff(conn net.Conn) {
	if !n.begin() {
		_ = conn.Close()
		return
	}
	go func() {
		defer n.running.Done()
		if err := n.handoff(conn); err != nil {
			n.log.Debug("raft connection refused", "remote", conn.RemoteAddr().String(), "error", err)
			_ = conn.Close()
		}
	}()
}

func (n *Node) handoff(conn net.Conn) error {
	// Closing the node must not wait for a peer that says nothing.
	stop := context.AfterFunc(n.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 512)
	id, err := binary.ReadUvarint(r)
	if err != nil {
		n.metrics.conns.WithLabelValues("no_header").Inc()
		return fmt.Errorf("read shard: %w", err)
	}
	s := n.byID[uint32(id)]
	if id >= maxShard || s == nil {
		n.metrics.conns.WithLabelValues("unknown_shard").Inc()
		return fmt.Errorf("shard %d is not here", id)
	}
	if !stop() || conn.SetReadDeadline(time.Time{}) != nil {
		return ErrClosed
	}
	c := &raftConn{Conn: conn, r: r, layer: s.layer, in: true, budget: n.cfg.hooks.requestBound(), fresh: true}
	if err := s.layer.remember(c); err != nil {
		n.metrics.conns.WithLabelValues("too_many").Inc()
		return err
	}
	select {
	case s.layer.accepted <- c:
		return nil
	case <-s.layer.done:
		s.layer.forget(c)
		return ErrClosed
	}
}
