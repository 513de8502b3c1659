// Package upstream is the edge's side of core: lanes that carry commands to
// the shards in order and survive every reconnect, feeds that bring committed
// messages, and reads from the region's replica. It talks to one core node at
// a time and moves to the next by itself. It knows nothing of clients.
package upstream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// Config says who this edge is and where core stands.
type Config struct {
	// Nodes are addresses of core nodes (host:port), those of the edge's own
	// region first. Further ones are learnt from the cluster's state.
	Nodes []string
	// Edge and Region name this edge; Endpoints are its client URLs.
	Edge      string
	Region    string
	Endpoints []string
	// Incarnation identifies this process to the shards; 0 draws a random one.
	Incarnation uint64
	// TTL is the lease of the edge's members: they leave when nothing was
	// heard of the edge for so long. Default 15 s.
	TTL time.Duration
	// Hold is how long a publish waits for core to come back before it is
	// answered unavailable. Default 1 s.
	Hold time.Duration
	// Credentials secure the connection; nil means plain text, which core
	// accepts in tests and inside one process only.
	Credentials credentials.TransportCredentials
	// Dial opens connections; nil means TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Sessions reports how many clients are connected, for the cluster's state.
	Sessions func() int
}

func (c Config) withDefaults() Config {
	if c.TTL <= 0 {
		c.TTL = 15 * time.Second
	}
	if c.Hold <= 0 {
		c.Hold = time.Second
	}
	if c.Incarnation == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		c.Incarnation = binary.LittleEndian.Uint64(b[:]) | 1
	}
	if c.Credentials == nil {
		c.Credentials = insecure.NewCredentials()
	}
	if c.Sessions == nil {
		c.Sessions = func() int { return 0 }
	}
	return c
}

// A Message is what a publish says. Nothing of it is kept.
type Message struct {
	User, Name            string
	Key, Kind, Text, Data []byte

	Rank    uint32 // the user's in the room: see rpc.Rank
	Verdict uint32 // of this edge's filter: see rpc.Publish
	Rules   uint64 // version of the rules that gave it; 0 none
	Origin  uint64 // protocol.BodyHash of the body as the client sent it, where it was changed; 0: it was not
}

// A Publish is one message on its way to core.
type Publish struct {
	Room       string
	DeadlineMS int64 // Unix milliseconds; 0 none

	// Owner hears of the outcome. ID, Order and Taken are the owner's.
	Owner Owner
	ID    uint64
	Order uint64
	Taken time.Time
	// Masked is the text as it is appended, where a filter has changed it; the
	// owner's too.
	Masked string
}

// An Owner hears what became of its publishes, in the order of each room.
// Answered must not block; Flush follows when a run of answers has been given,
// so that they can leave in one write.
type Owner interface {
	Answered(p *Publish, r *rpc.Result)
	Flush()
}

// ErrClosed: the client was closed.
var ErrClosed = errors.New("upstream: closed")

// A Client is the edge's connection to core.
type Client struct {
	cfg Config
	log *slog.Logger
	met *metrics

	state    atomic.Pointer[rpc.ControlState]
	link     atomic.Pointer[link] // nil while there is none
	down     atomic.Int64         // Unix nanoseconds since when there is none
	draining atomic.Bool
	welcome  atomic.Pointer[rpc.Welcome]
	filters  atomic.Pointer[[]*rpc.FilterReport] // what we say about our rules
	changed  chan struct{}                       // state has been replaced

	mu    sync.Mutex // guards the lanes
	lanes map[uint32]*lane
	wake  chan struct{} // the sender of the present link has something to do

	// telling is held while the owners of one run of answers are told, from
	// taking it off a lane to letting the lane go on. Taken before mu.
	telling sync.Mutex

	roster roster
	feeds  feeds

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Start connects, and keeps connected until Close. It does not wait for the
// first connection.
func Start(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Client, error) {
	cfg = cfg.withDefaults()
	if len(cfg.Nodes) == 0 {
		return nil, errors.New("no core nodes: name at least one address")
	}
	met, err := newMetrics(reg)
	if err != nil {
		return nil, fmt.Errorf("register upstream metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		cfg: cfg, log: log, met: met, cancel: cancel,
		lanes: make(map[uint32]*lane), wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}
	c.roster.init()
	c.feeds.init()
	c.down.Store(time.Now().UnixNano())
	c.done.Go(func() { c.run(ctx) })
	c.done.Go(func() { c.keep(ctx) })
	return c, nil
}

// Close ends the connection and waits for everything the client started.
// Publishes that were not answered are answered unavailable.
func (c *Client) Close() {
	c.cancel()
	c.done.Wait()
	c.mu.Lock()
	var answers []answer
	for _, l := range c.lanes {
		for _, o := range l.queue {
			if o.owned() {
				answers = append(answers, o.answer(&rpc.Result{Code: uint32(protocol.Unavailable), RetryAfterMs: 1000}))
			}
		}
		l.queue, l.sent = nil, 0
	}
	c.mu.Unlock()
	deliver(answers)
}

// Incarnation identifies this process to the shards.
func (c *Client) Incarnation() uint64 { return c.cfg.Incarnation }

// State is the newest control state, nil until core was reached once.
func (c *Client) State() *rpc.ControlState { return c.state.Load() }

// Survive is what core says its default placement survives.
func (c *Client) Survive() string { return c.welcome.Load().GetSurvive() }

// Connected says whether a core node serves this edge at the moment.
func (c *Client) Connected() bool { return c.link.Load() != nil }

// Unanswered counts publishes and moderators' commands on their way.
func (c *Client) Unanswered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.lanes {
		for _, o := range l.queue {
			if o.owned() {
				n++
			}
		}
	}
	return n
}

// Drain tells core that this edge is leaving.
func (c *Client) Drain() {
	c.draining.Store(true)
	if l := c.link.Load(); l != nil {
		l.renew()
	}
}

// Publish sends m along the lane of p's room. A refusal is returned; otherwise
// the owner is told the outcome, exactly once.
func (c *Client) Publish(p Publish, m *Message) *protocol.Error {
	if c.away() {
		return unavailable()
	}
	return c.push(&op{kind: opPublish, room: p.Room, data: encodePublish(&p, m), publish: p})
}

// Moderate sends a moderator's command along the lane of its room, behind what
// was published there before. A refusal is returned; otherwise done is told the
// outcome, exactly once. It must not block.
func (c *Client) Moderate(m *rpc.Moderate, done func(*rpc.Result)) *protocol.Error {
	if c.away() {
		return unavailable()
	}
	return c.push(&op{kind: opModerate, room: m.GetRoom(), deadline: m.GetDeadlineMs(), data: encodeModerate(m), done: done})
}

// away: core has been away for longer than anything waits for it.
func (c *Client) away() bool {
	return c.link.Load() == nil && time.Since(time.Unix(0, c.down.Load())) >= c.cfg.Hold
}

// push puts a command of a client onto the lane of its room.
func (c *Client) push(o *op) *protocol.Error {
	shard, ok := c.shard(o.room)
	if !ok {
		return unavailable()
	}
	now := time.Now()
	c.mu.Lock()
	l := c.lane(shard, now)
	if !l.open && now.Sub(l.stalled) >= c.cfg.Hold {
		c.mu.Unlock()
		return unavailable()
	}
	err := l.push(o)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.signal()
	return nil
}

func unavailable() *protocol.Error {
	return &protocol.Error{Code: protocol.Unavailable, Message: "core cannot be reached at the moment; send it again", RetryAfter: 1000}
}

// shard says which shard holds a room; false until core was reached once.
func (c *Client) shard(room string) (uint32, bool) {
	state := c.state.Load()
	if state == nil {
		return 0, false
	}
	return rpc.ShardOf(state, room)
}

// lane returns the lane to a shard, begun on the present link. Caller holds mu.
func (c *Client) lane(shard uint32, now time.Time) *lane {
	l := c.lanes[shard]
	if l == nil {
		l = newLane(shard, now)
		c.lanes[shard] = l
		if c.link.Load() != nil {
			l.restart(c.lease(), now)
		}
	}
	return l
}

func (c *Client) lease() []byte {
	return encodeLease(c.cfg.Edge, c.cfg.Region, uint32(c.cfg.TTL.Milliseconds()))
}

// signal wakes the sender.
func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// deliver tells the owners, then lets each of them flush.
func deliver(answers []answer) {
	for _, a := range answers {
		if a.done != nil {
			a.done(a.result)
			continue
		}
		a.publish.Owner.Answered(a.publish, a.result)
	}
	for _, a := range answers {
		if a.done == nil {
			a.publish.Owner.Flush()
		}
	}
}
