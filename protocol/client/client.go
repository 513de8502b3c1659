// Package client is the Go SDK: it keeps one connection to an edge, moves it
// when the server asks or the connection breaks, and keeps the two promises of
// the protocol on the way: an application sees every message of a joined room
// once and in order, or is told of the gap; and a publish is retried under its
// key, in order, until it is acknowledged, refused for good or timed out.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Config says how to connect. Only Endpoints is required.
type Config struct {
	// Endpoints are URLs of edges: ws, wss, tcp or tcps. The first that answers
	// is used; further ones are learnt from the server.
	Endpoints []string
	// Token returns the token to connect with. It is called before every
	// connection and every refresh, never twice at once. nil means no token.
	Token   func(context.Context) (string, error)
	Client  string // software and version, such as "myapp/1.2"
	Network string // hint: "wifi", "cellular", "ethernet"
	JSON    bool   // JSON instead of protobuf; WebSocket only
	TLS     *tls.Config
	Logger  *slog.Logger
	// PublishTimeout bounds a publish from its call to its end, retries
	// included. Default 30 s, at most protocol.MaxPublishTimeout.
	PublishTimeout time.Duration
	// MaxPending bounds the publishes without an answer. Default 4096.
	MaxPending int
	// OnState is called with every change of the connection, on the goroutine
	// of all callbacks (see Events).
	OnState func(State)
	// Rand returns a number in [0, 1) for jitter. nil means math/rand/v2.
	Rand func() float64
	// Dialer opens connections. nil means package transport.
	Dialer Dialer
}

const (
	defaultPublishTimeout = 30 * time.Second
	defaultMaxPending     = 4 * protocol.MaxOutstanding
	defaultOutstanding    = 64 // when the server names no limit
	defaultClient         = "barrage-go/1.0"
)

// A Client is one session with the service, over as many connections as it
// takes. Its methods may be called by any goroutine.
type Client struct {
	// Set by Dial, never changed.
	cfg    Config
	log    *slog.Logger
	ctx    context.Context //nolint:containedctx // the lifetime of the client's goroutines
	cancel context.CancelFunc
	queue  *eventQueue
	kick   chan struct{} // wakes manage
	closed chan struct{} // closed with err set

	asking sync.Mutex // held while Config.Token runs

	wg sync.WaitGroup // manage, deliver, and the links' and dials' goroutines

	mu sync.Mutex // guards everything below, and the fields of links, rooms and lanes

	err       error // terminal, is ErrClosed; set once, then closed is closed
	cause     error // what err wraps
	state     State
	ready     chan struct{} // closed at the first connection
	everReady bool

	routes   routes
	retry    backoff
	resume   string    // of the last connection
	current  *link     // carries publishes and calls; nil while away
	next     *link     // being prepared to take over (make before break)
	dialing  bool      // one dial at a time
	dialAt   time.Time // when to dial next; zero: no need
	draining bool      // next waits only for current's last answers
	giveOver time.Time // when next takes over even if current still owes answers
	renewAt  time.Time // when to refresh current's token; zero: never
	alarm    time.Time // when manage wakes by itself; zero: it does not

	rooms map[string]*Room
	calls map[*call]struct{}

	lanes    map[string]*lane
	sendable []*lane       // lanes that have something to send
	held     []*lane       // lanes that wait after a temporary refusal
	pending  int           // publishes without a verdict
	limited  uint64        // refusals of publishes by a rate; each was tried again
	space    chan struct{} // closed when pending falls below the limit; nil when nobody waits
	ages     ages
}

// Dial connects. It returns when the first connection stands, with the error
// that makes trying useless (a *protocol.Error: a bad token, say), or when ctx
// ends; it tries for as long as ctx allows. The client lives until Close.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{
		cfg: cfg, log: cfg.Logger, ctx: life, cancel: cancel,
		queue: newEventQueue(), kick: make(chan struct{}, 1), closed: make(chan struct{}),
		ready: make(chan struct{}), routes: newRoutes(cfg.Endpoints),
		rooms: map[string]*Room{}, lanes: map[string]*lane{}, calls: map[*call]struct{}{},
		dialAt: time.Now(),
	}
	c.wg.Go(c.manage)
	c.wg.Go(c.queue.run)

	select {
	case <-c.ready:
		return c, nil
	case <-c.closed:
		c.Close()
		return nil, fmt.Errorf("connect: %w", c.cause)
	case <-ctx.Done():
		last := c.State().Err
		c.Close()
		if last != nil {
			return nil, fmt.Errorf("connect: %w; the last attempt said: %w", ctx.Err(), last)
		}
		return nil, fmt.Errorf("connect: %w", ctx.Err())
	}
}

func (cfg *Config) complete() error {
	if len(cfg.Endpoints) == 0 {
		return errors.New("client: Config.Endpoints is empty; name at least one edge, such as ws://127.0.0.1:8080/v1/ws")
	}
	if cfg.PublishTimeout == 0 {
		cfg.PublishTimeout = defaultPublishTimeout
	}
	if cfg.PublishTimeout < 0 || cfg.PublishTimeout > protocol.MaxPublishTimeout {
		return fmt.Errorf("client: Config.PublishTimeout is %v; it must be positive and at most %v, so that a retry is always recognised",
			cfg.PublishTimeout, protocol.MaxPublishTimeout)
	}
	if !utf8.ValidString(cfg.Client) || !utf8.ValidString(cfg.Network) {
		return errors.New("client: Config.Client and Config.Network must be UTF-8")
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = defaultMaxPending
	}
	if cfg.Client == "" {
		cfg.Client = defaultClient
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Token == nil {
		cfg.Token = func(context.Context) (string, error) { return "", nil }
	}
	if cfg.Dialer == nil {
		cfg.Dialer = network{tls: cfg.TLS, json: cfg.JSON}
	}
	return nil
}

// Close ends the session, fails what is pending with ErrClosed, and returns
// when the last callback has returned and no goroutine is left.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	c.cancel()
	c.wg.Wait()
	return nil
}

// State says how the connection stands.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Session is what the server said at the last connection.
func (c *Client) Session() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return Info{}
	}
	return c.current.info
}

// RateLimited counts how often the server put a publish off because its user or
// its room publishes too fast. The client tries those again: they cost time, not
// messages.
func (c *Client) RateLimited() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limited
}

// Ping asks the server for its clock and returns how long that took.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	_, err := c.call(ctx, &wire.ClientFrame{Command: &wire.ClientFrame_Ping{Ping: &wire.Ping{}}})
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	return time.Since(start), nil
}

// Reconnect drops the connection, as a broken network would, and makes a new
// one.
func (c *Client) Reconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.dropLocked(c.current, errors.New("dropped by Reconnect"))
	}
}

// fail ends everything with err, unless it has ended already.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
}

func (c *Client) failLocked(err error) {
	if c.err != nil {
		return
	}
	c.cause = err
	if !errors.Is(err, ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.err = err
	c.dialAt = time.Time{}
	for _, l := range []*link{c.current, c.next} {
		if l != nil {
			c.dropLocked(l, err)
		}
	}
	for cl := range c.calls {
		cl.finish(nil, err)
		delete(c.calls, cl)
	}
	for _, ln := range c.lanes {
		for _, p := range ln.queue[ln.head:] {
			c.finishLocked(p, Ack{}, p.giveUp(err))
		}
	}
	for _, r := range c.rooms {
		r.loseLocked(err)
	}
	c.setStateLocked(State{Phase: Closed, Err: err})
	close(c.closed)
	c.queue.close()
	c.wake()
}

func (c *Client) setStateLocked(s State) {
	c.state = s
	if c.cfg.OnState != nil {
		c.queue.push(event{call: func() { c.cfg.OnState(s) }})
	}
}

func (c *Client) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}
