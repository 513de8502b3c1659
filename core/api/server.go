// Package api is a core node's one port: the gRPC services for edges, for
// other core nodes and for operators, and the door through which Raft's
// connections come. It carries lanes to the leaders and their results back,
// feeds edges from this node's replicas, and does the duties of a leader.
//
// It keeps no state that matters: what is lost with it, edges send again.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/barrage-im/barrage/core/replica"
	"github.com/barrage-im/barrage/core/room"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// ControlShard is the shard that holds the cluster's own state.
const ControlShard = 0

// Config is what a Server needs.
type Config struct {
	Self        *rpc.Node
	Shards      []uint32 // control included
	Credentials *pki.Credentials
	// Dial opens connections to other nodes; nil means TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// A Server is the service of one core node. Applied, Restored and DialRaft are
// for the replica, which is opened after New and given to Start.
type Server struct {
	// Set by New and Start, never changed.
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	started time.Time
	hubs    map[uint32]*hub
	node    *replica.Node
	peers   *peers
	grpc    *grpc.Server
	ctx     context.Context //nolint:containedctx // the server's life; Close ends it
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	state         *state
	controlMoved  chan struct{} // has room for one: control applied something
	historyReads  chan struct{} // tokens
	feedReads     chan struct{} // tokens
	fetches       chan struct{} // tokens
	pushes        chan struct{} // tokens
	joinings      sync.Mutex    // held while members are being changed: one change at a time
	policiesAsked sync.Map      // shard → version that is under way

	mu    sync.Mutex // guards the fields below
	edges map[uint64]*edge
	links map[string]*link // by address
	doors []*door
}

// New makes a server that does not serve yet.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Server, error) {
	m, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	s := &Server{
		cfg: cfg, log: log, metrics: m, started: time.Now(), hubs: map[uint32]*hub{},
		peers: newPeers(cfg.Credentials, cfg.Dial), state: newState(),
		controlMoved: make(chan struct{}, 1), historyReads: make(chan struct{}, maxHistoryReads), feedReads: make(chan struct{}, maxHistoryReads),
		fetches: make(chan struct{}, maxFetches), pushes: make(chan struct{}, maxPushes),
		edges: map[uint64]*edge{}, links: map[string]*link{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, id := range cfg.Shards {
		if id != ControlShard {
			s.hubs[id] = newHub(id)
		}
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(proven{}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.InitialWindowSize(rpcWindow),
		grpc.InitialConnWindowSize(4*rpcWindow),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveEvery, Timeout: keepaliveWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	rpc.RegisterCoreServer(s.grpc, coreService{s: s})
	rpc.RegisterPeerServer(s.grpc, peerService{s: s})
	rpc.RegisterOperatorServer(s.grpc, operatorService{s: s})
	return s, nil
}

type coreService struct {
	rpc.UnimplementedCoreServer
	s *Server
}

type peerService struct {
	rpc.UnimplementedPeerServer
	s *Server
}

type operatorService struct {
	rpc.UnimplementedOperatorServer
	s *Server
}

// Applied is the replica's callback: it wakes cursors and state readers.
func (s *Server) Applied(shard uint32, _ uint64, effects any) {
	if shard == ControlShard {
		s.controlChanged()
		return
	}
	if e, ok := effects.(*room.Effects); ok {
		s.hubs[shard].applied(e)
	}
}

// Restored is the replica's callback for a state that came from a peer.
func (s *Server) Restored(shard uint32) {
	if shard == ControlShard {
		s.controlChanged()
		return
	}
	s.hubs[shard].restored()
}

func (s *Server) controlChanged() {
	select {
	case s.controlMoved <- struct{}{}:
	default:
	}
}

// Start takes the opened replicas and begins the duties.
func (s *Server) Start(node *replica.Node) {
	s.node = node
	s.readControl()
	s.wg.Go(s.followControl)
	for _, shard := range node.Shards() {
		s.wg.Go(func() { s.followShard(shard) })
	}
}

// Serve accepts connections until Close. It may be called once.
func (s *Server) Serve(ln net.Listener) error {
	d := newDoor(s.ctx, ln, s.cfg.Credentials, s.node.Handoff, func(reason string) { s.metrics.refused.WithLabelValues(reason).Inc() }, s.log)
	s.mu.Lock()
	closing := s.ctx.Err() != nil
	if !closing {
		s.doors = append(s.doors, d)
	}
	s.mu.Unlock()
	if closing {
		return ln.Close()
	}
	s.wg.Go(func() {
		if err := s.grpc.Serve(d); err != nil && !errors.Is(err, grpc.ErrServerStopped) && s.ctx.Err() == nil {
			s.log.Error("gRPC ended", "error", err)
		}
	})
	if err := d.run(); err != nil {
		return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Close ends every call and connection, and waits for all goroutines. The
// replicas are closed after it.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	doors := s.doors
	s.mu.Unlock()
	for _, d := range doors {
		d.close()
	}
	s.grpc.Stop()
	for _, d := range doors {
		d.wg.Wait()
	}
	s.wg.Wait()
	s.peers.close()
}

// roomShard returns a shard that holds rooms, nil if there is none of this number.
func (s *Server) roomShard(id uint32) *replica.Shard {
	if id == ControlShard {
		return nil
	}
	return s.node.Shard(id)
}

// shardOf returns the shard that a room belongs to, nil if it is not known.
func (s *Server) shardOf(name string) *replica.Shard {
	id, ok := rpc.ShardOf(s.state.now(), name)
	if !ok {
		return nil
	}
	return s.roomShard(id)
}
