// Package edgenode is the edge process: the gateway that clients connect to.
// It wires listeners, sessions, room tails and the connection to core
// together; what they do is in the packages below.
package edgenode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/edge-node/hub"
	"github.com/barrage-im/barrage/edge-node/screen"
	"github.com/barrage-im/barrage/edge-node/session"
	"github.com/barrage-im/barrage/edge-node/upstream"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/pki"
)

// Options are what a process that embeds an edge may bring along.
type Options struct {
	Credentials *pki.Credentials // nil: loaded from Config.TLS
	// Plaintext talks to core without TLS, for tests and fakes.
	Plaintext bool
	// Dial opens connections to core nodes; nil means TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Page answers HTTP requests that are not for WebSocket; nil: not found.
	Page     http.Handler
	Log      *slog.Logger          // nil: discarded
	Registry prometheus.Registerer // nil: one of its own
}

// An Edge is a running edge. Drain, then Close, end it; Close alone ends it at
// once.
type Edge struct {
	cfg      Config
	log      *slog.Logger
	core     *upstream.Client
	hub      *hub.Hub
	screen   *screen.Screen
	hook     *screen.Hook // nil: none is configured
	sessions *session.Server
	verifier *auth.Verifier
	doors    *doors
	once     sync.Once
}

// readyEvery is how often readiness is looked at.
const readyEvery = 200 * time.Millisecond

// Command is "barrage edge-node".
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	cfg := Default()
	_, rest, err := ops.Load("edge-node", &cfg, args, os.Environ())
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return ops.Usagef("unexpected argument %q; try: barrage edge-node --help", rest[0])
	}
	return Run(ctx, cfg, stdout)
}

// Run runs an edge until ctx ends, then drains it; a second signal
// (ops.Hurry) ends it at once.
func Run(ctx context.Context, cfg Config, stdout io.Writer) error {
	log := ops.NewLogger(stdout, cfg.Log)
	status, err := ops.Start(cfg.Ops, log) // metrics stay up while we drain
	if err != nil {
		return fmt.Errorf("start ops listener: %w", err)
	}
	defer func() { _ = status.Close() }()
	status.SetReady("core", errors.New("starting"))
	edge, err := Start(ctx, cfg, Options{Log: log, Registry: status.Registry()})
	if err != nil {
		return err
	}
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-edge.doors.failed:
			edge.Close()
			return err
		case <-tick.C:
			status.SetReady("core", edge.Ready())
		case <-ctx.Done():
			status.SetReady("edge", errors.New("draining"))
			return edge.leave(context.WithoutCancel(ctx), ops.Hurry(ctx))
		}
	}
}

// hurryGrace is how long close frames may take to leave after the second signal.
const hurryGrace = 300 * time.Millisecond

// leave drains and closes the edge. When hurry is closed before that is done
// it does not wait: the process ends.
func (e *Edge) leave(ctx context.Context, hurry <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		e.Drain(ctx)
		e.Close()
	}()
	select {
	case <-left:
		return nil
	case <-hurry:
	}
	cancel()
	select {
	case <-left:
	case <-time.After(hurryGrace):
	}
	return errors.New("stopped without draining, as told by the second signal")
}

// Start starts an edge and returns when its listeners are open. Core is
// connected to behind it: see Ready. ctx bounds the start only.
func Start(ctx context.Context, cfg Config, opts Options) (_ *Edge, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Registry == nil {
		opts.Registry = prometheus.NewRegistry()
	}
	e := &Edge{cfg: cfg, log: opts.Log}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	secure, err := e.credentials(opts)
	if err != nil {
		return nil, err
	}
	if e.verifier, err = auth.New(cfg.Auth, opts.Log); err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	if !cfg.Anonymous && !cfg.Auth.Configured() {
		opts.Log.Warn("no token issuer is configured, see auth.keys; everybody will be refused")
	}
	if err := opts.Registry.Register(e.verifier.Collector()); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if e.doors, err = openDoors(ctx, cfg); err != nil {
		return nil, err
	}
	var sessions atomic.Pointer[session.Server]
	e.core, err = upstream.Start(upstream.Config{
		Nodes: cfg.Core, Edge: cfg.Name, Region: cfg.Region, Endpoints: e.Endpoints(), TTL: cfg.Lease, Hold: cfg.Hold,
		Credentials: secure, Dial: opts.Dial, Sessions: func() int { return sessions.Load().Count() },
	}, opts.Log, opts.Registry)
	if err != nil {
		return nil, err
	}
	if e.hub, err = hub.New(cfg.Tails, e.core, opts.Log, opts.Registry); err != nil {
		return nil, err
	}
	if e.screen, err = screen.Start(cfg.Filter, cfg.Region, e.core, opts.Log, opts.Registry); err != nil {
		return nil, err
	}
	if e.hook, err = screen.NewHook(cfg.Filter.Hook, opts.Log, opts.Registry); err != nil {
		return nil, err
	}
	var verifier session.Verifier = e.verifier
	if cfg.Anonymous {
		verifier = anonymous{e.verifier}
	}
	limits := cfg.Limits
	limits.Region, limits.Edge = cfg.Region, cfg.Name
	limits.Screen, limits.Hook = e.screen, e.hook
	if e.sessions, err = session.New(limits, e.core, e.hub, verifier, opts.Log, opts.Registry); err != nil {
		return nil, err
	}
	sessions.Store(e.sessions)
	if err := e.doors.open(e, opts); err != nil {
		return nil, err
	}
	opts.Log.Info("edge serves", "name", cfg.Name, "region", cfg.Region, "endpoints", e.Endpoints())
	return e, nil
}

// credentials are those for core; nil for plain text.
func (e *Edge) credentials(opts Options) (credentials.TransportCredentials, error) {
	if opts.Plaintext {
		return nil, nil
	}
	c := opts.Credentials
	if c == nil {
		var err error
		if c, err = pki.Load(e.cfg.TLS, opts.Log); err != nil {
			return nil, fmt.Errorf("%w; make them with barrage cert", err)
		}
	}
	if id := c.Identity(); id.Role != pki.Edge || !covers(id.Name, e.cfg.Name) {
		return nil, fmt.Errorf("the certificate is for %s, this is edge %s: use a certificate of its name, or of a fleet whose edges are called %s-…", id, e.cfg.Name, id.Name)
	}
	return credentials.NewTLS(c.ClientConfig(pki.Core, "h2")), nil
}

// covers says whether a certificate of a name is good for an edge: of the same
// name, or of one that begins with it and a hyphen. The pods of a Deployment
// share one.
func covers(certificate, edge string) bool {
	return edge == certificate || strings.HasPrefix(edge, certificate+"-")
}

// Endpoints are the URLs of this edge, as advertised or as it listens.
func (e *Edge) Endpoints() []string {
	if len(e.cfg.Advertise) > 0 {
		return e.cfg.Advertise
	}
	return e.doors.urls()
}

// Ready says why clients would not be served well; nil when they would.
func (e *Edge) Ready() error {
	if !e.core.Connected() {
		return errors.New("no core node can be reached")
	}
	return nil
}

// Sessions is how many clients are connected.
func (e *Edge) Sessions() int { return e.sessions.Count() }

// Drain stops accepting, asks the clients to move over Config.Drain, waits for
// what is in flight and closes the rest. It is cut short when ctx ends.
func (e *Edge) Drain(ctx context.Context) {
	e.core.Drain()
	e.doors.shut()
	e.sessions.Drain(ctx, e.cfg.Drain)
}

// Close ends every connection and waits for everything that Start started.
func (e *Edge) Close() {
	e.once.Do(func() {
		if e.doors != nil {
			e.doors.close()
		}
		if e.sessions != nil {
			e.sessions.Close()
		}
		if e.hub != nil {
			e.hub.Close()
		}
		if e.hook != nil {
			if err := e.hook.Close(); err != nil {
				e.log.Warn("close the connection to the external check", "err", err)
			}
		}
		if e.screen != nil {
			e.screen.Close()
		}
		if e.core != nil {
			e.core.Close()
		}
		if e.verifier != nil {
			e.verifier.Close()
		}
	})
}
