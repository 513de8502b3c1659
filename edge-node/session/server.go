// Package session is the server's side of client connections: who a client is,
// what it may do, and the answers to its commands. A session has no goroutine
// and no timer of its own; the transport calls it with frames, the hub with
// joins, upstream with outcomes, and the server's wheel with the time.
package session

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/edge-node/limit"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Verifier turns a token into claims. An error is a *protocol.Error with a
// close code.
type Verifier interface {
	Verify(ctx context.Context, token string) (*auth.Claims, error)
}

// A Server is all sessions of an edge.
type Server struct {
	// Set by New, never changed.
	cfg    Config
	core   *upstream.Client
	hub    *hub.Hub
	verify Verifier
	log    *slog.Logger
	met    *metrics

	addresses *limit.Counter
	users     *limit.Counter
	pages     *limit.Table
	rates     rates
	slow      slowRooms
	reading   chan struct{} // a place for each page being read
	feed      *feed

	waitingJobs  atomic.Int64 // in the lines of all sessions
	waitingBytes atomic.Int64

	count    atomic.Int64
	draining atomic.Bool
	clock    atomic.Int64 // Unix nanoseconds, as of the wheel's last tick
	closes   closeRate
	wheel    wheel

	ctx    context.Context //nolint:containedctx // the server's lifetime, for what sessions start
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New starts the wheel; Close ends it.
func New(cfg Config, core *upstream.Client, rooms *hub.Hub, verify Verifier, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, core: core, hub: rooms, verify: verify, log: log,
		addresses: limit.NewCounter(cfg.PerAddress, maxCounted),
		users:     limit.NewCounter(cfg.PerUser, maxCounted),
		pages:     limit.NewTable(float64(cfg.ReadRate), cfg.ReadBurst, maxRateKeys),
		reading:   make(chan struct{}, cfg.Reads),
	}
	s.rates.init()
	s.feed = newFeed(s)
	met, err := newMetrics(reg, s)
	if err != nil {
		return nil, fmt.Errorf("register session metrics: %w", err)
	}
	s.met = met
	s.ctx, s.cancel = context.WithCancel(context.Background())
	now := time.Now()
	s.clock.Store(now.UnixNano())
	s.wheel.init(now)
	s.done.Go(s.turn)
	return s, nil
}

// Close waits for what sessions have started. The connections must have ended.
func (s *Server) Close() {
	s.cancel()
	s.done.Wait()
}

// Count is how many clients are connected: none before there is a server.
func (s *Server) Count() int {
	if s == nil {
		return 0
	}
	return int(s.count.Load())
}

// Accept is the transport's: it makes the session behind a connection, or
// refuses it as cheaply as it can.
func (s *Server) Accept(conn transport.Conn) transport.Handler {
	info := conn.Info()
	var err *protocol.Error
	address := countedAddress(info.Remote)
	switch {
	case s.draining.Load():
		err = protocol.Errorf(protocol.CloseDraining, "this edge is going away; connect to another one")
	case s.cfg.MaxConnections > 0 && s.count.Load() >= int64(s.cfg.MaxConnections):
		err = protocol.Errorf(protocol.CloseEdgeFull, "this edge is full; connect to another one")
	case address != "" && !s.addresses.Acquire(address):
		err = protocol.Errorf(protocol.CloseAddressLimit, "too many connections from this address")
	}
	if err != nil {
		s.met.closed.WithLabelValues(err.Code.Name()).Inc()
		conn.CloseWith(s.CloseImage(info.Format, err), err.Code)
		return nil
	}
	s.count.Add(1)
	s.met.sessions.WithLabelValues(info.Transport).Inc()
	c := &Session{srv: s, conn: conn, format: info.Format, address: address, transport: info.Transport}
	now := s.clock.Load()
	c.seen.Store(now)
	c.sent.Store(now)
	c.budget, c.budgetAt = int32(s.cfg.FrameBurst), now
	s.wheel.add(c, time.Unix(0, now).Add(s.cfg.Heartbeat))
	return c
}

// countedAddress is what connections are counted by; empty for loopback, which
// is the operator's own: a proxy, or a trial.
func countedAddress(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return ""
	}
	return limit.AddressKey(addr)
}

// CloseImage is a close frame that says when and where to come back; it is the
// transport's too.
func (s *Server) CloseImage(f transport.Format, err *protocol.Error) []byte {
	frame := &wire.Close{Code: uint32(err.Code), Name: err.Code.Name(), Message: err.Message}
	if err.Code.Reconnect() {
		frame.Reconnect = s.hint(err.Code.Name(), err.RetryAfter)
	}
	return f.AppendImage(nil, protocol.AppendServer(nil, f.Encoding(), &wire.ServerFrame{Body: &wire.ServerFrame_Close{Close: frame}}))
}

// hint tells a client that is sent away how long to wait: longer the more are
// sent away with it, so that they do not come back as one.
func (s *Server) hint(reason string, atLeastMS int64) *wire.Reconnect {
	wait := minHintWait + time.Duration(s.closes.add(time.Now())*hintPerClose)*time.Millisecond
	least := uint64(max(atLeastMS, 0))
	return &wire.Reconnect{
		Reason: reason, WaitMinMs: least, WaitMaxMs: least + uint64(min(wait, maxHintWait).Milliseconds()), Endpoints: s.Elsewhere(),
	}
}

// Elsewhere lists URLs of other edges, those of our region first.
func (s *Server) Elsewhere() []string {
	var own, others []string
	for _, e := range s.core.State().GetEdges() {
		if e.GetDraining() || e.GetIncarnation() == s.core.Incarnation() {
			continue
		}
		if e.GetRegion() == s.cfg.Region {
			own = append(own, e.GetEndpoints()...)
		} else {
			others = append(others, e.GetEndpoints()...)
		}
	}
	own = append(own, others...)
	return own[:min(len(own), maxHints)]
}

// closeRate counts closes of late.
type closeRate struct {
	mu    sync.Mutex // guards the fields below
	count int64
	since time.Time
}

func (c *closeRate) add(now time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.since) > closeWindow {
		c.count, c.since = 0, now
	}
	c.count++
	return c.count
}
