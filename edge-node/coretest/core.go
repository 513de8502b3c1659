// Package coretest is a core for the edge's tests: one process, no log and no
// disk, but the same service, with lanes, generations, epochs and cursors as
// protocol/rpc says, and handles to make it misbehave.
package coretest

import (
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// A Core is the fake. Its rooms outlive Stop and Start.
type Core struct {
	rpc.UnimplementedCoreServer

	mu      sync.Mutex // guards everything below
	changed chan struct{}
	state   *rpc.ControlState
	policy  *rpc.Policy
	edition int // of policy
	rooms   map[string]*room
	lanes   map[laneKey]*lane
	epochs  uint64
	attach  []*attachment
	refuse  func(*rpc.Publish) protocol.Code
	silent  bool
	lagging bool
	edges   map[uint64]*rpc.Edge
	bundles map[string][]byte // by digest
	filters []*rpc.FilterSet
	reads   int
	heads   int
	crossed []string

	moderations    map[string]*rpc.Moderation // by room's name
	moderated      []*rpc.Moderate
	refuseModerate func(*rpc.Moderate) protocol.Code

	address string
	server  *grpc.Server
	served  chan struct{}
}

type laneKey struct {
	edge  uint64
	shard uint32
}

type lane struct {
	generation, next uint64
	leased           bool
	held             map[string]bool
}

type room struct {
	epoch, first, head uint64
	records            [][]byte // of first…head
	keys               map[string]*rpc.Result
	users              map[string]*rpc.UserPresence
	sessions           uint32
	statements         int
}

// New makes a core with two shards.
func New() *Core {
	policy := &rpc.Policy{Pattern: "*", MessageBytes: 4096, UserRate: 1e6, UserBurst: 1e6, RosterLimit: 500}
	return &Core{
		changed: make(chan struct{}), rooms: map[string]*room{}, lanes: map[laneKey]*lane{}, edges: map[uint64]*rpc.Edge{},
		moderations: map[string]*rpc.Moderation{},
		state: &rpc.ControlState{
			Cluster: "test", Version: 1,
			Placements: []*rpc.Placement{{Name: rpc.DefaultPlacement, Shards: []uint32{1, 2}}},
			Policies:   &rpc.Policies{Version: 1, Policies: []*rpc.Policy{policy}},
		},
		policy: policy,
	}
}

// Start serves on loopback, at the same address as before if there was one.
func (c *Core) Start() error {
	address := c.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", address) //nolint:noctx // a test's
	if err != nil {
		return fmt.Errorf("fake core: %w", err)
	}
	c.address = ln.Addr().String()
	c.server, c.served = grpc.NewServer(grpc.MaxRecvMsgSize(8<<20)), make(chan struct{})
	rpc.RegisterCoreServer(c.server, c)
	go func() {
		defer close(c.served)
		_ = c.server.Serve(ln)
	}()
	return nil
}

// Stop breaks every stream. What was applied stays.
func (c *Core) Stop() {
	if c.server != nil {
		c.server.Stop()
		<-c.served
		c.server = nil
	}
}

// Address is where it listens.
func (c *Core) Address() string { return c.address }

// change runs f and wakes everybody who waits for something.
func (c *Core) change(f func()) {
	c.mu.Lock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

// Policy changes the policy of all rooms.
func (c *Core) Policy(change func(*rpc.Policy)) {
	c.change(func() {
		policy := proto.CloneOf(c.policy)
		change(policy)
		c.policy = policy
		c.edition++
		c.restate(c.state.GetEdges(), &rpc.Policies{Version: uint64(c.edition) + 1, Policies: []*rpc.Policy{policy}})
	})
}

// restate replaces what is new of the cluster's state and tells the edges.
// Caller holds mu.
func (c *Core) restate(edges []*rpc.Edge, policies *rpc.Policies) {
	c.state = &rpc.ControlState{
		Cluster: c.state.GetCluster(), Version: c.state.GetVersion() + 1, Placements: c.state.GetPlacements(),
		Policies: policies, Edges: edges, Filters: c.filters,
	}
	for _, a := range c.attach {
		a.send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_State{State: c.state}})
	}
}

// Refuse decides publishes before they are appended; OK lets them pass.
func (c *Core) Refuse(f func(*rpc.Publish) protocol.Code) { c.change(func() { c.refuse = f }) }

// Silence stops answering proposals, which are still applied; Reset brings the
// lanes back.
func (c *Core) Silence(silent bool) { c.change(func() { c.silent = silent }) }

// Lag holds the feeds back: this replica has not heard of what is published.
func (c *Core) Lag(lag bool) { c.change(func() { c.lagging = lag }) }

// Reset tells every lane that its outcome is unknown.
func (c *Core) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.attach {
		for key, l := range c.lanes {
			if key.edge == a.edge {
				a.send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_Reset_{Reset_: &rpc.LaneReset{
					Shard: key.shard, Generation: l.generation, Code: uint32(protocol.NoLeader), RetryAfterMs: 20,
				}}})
			}
		}
	}
}

// Forget makes every lane unknown, as when its lease lapsed, and takes its
// members out.
func (c *Core) Forget() {
	c.change(func() {
		c.lanes = map[laneKey]*lane{}
		for _, r := range c.rooms {
			r.users, r.sessions = map[string]*rpc.UserPresence{}, 0
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.attach {
		for _, shard := range c.state.GetPlacements()[0].GetShards() {
			for g := range uint64(64) {
				a.send(&rpc.AttachResponse{Frame: &rpc.AttachResponse_Reset_{Reset_: &rpc.LaneReset{
					Shard: shard, Generation: g + 1, Code: uint32(protocol.LaneUnknown), RetryAfterMs: 10,
				}}})
			}
		}
	}
}

// Append puts messages into a room as if somebody elsewhere had published.
func (c *Core) Append(name string, texts ...string) (head uint64) {
	c.change(func() {
		r := c.room(name)
		for _, text := range texts {
			r.append(protocol.AppendBody(nil, "core", "", "", text, nil))
		}
		head = r.head
	})
	return head
}

// Trim forgets everything before first.
func (c *Core) Trim(name string, first uint64) {
	c.change(func() {
		r := c.room(name)
		r.records = r.records[first-r.first:]
		r.first = first
	})
}

// Renew drops a room and makes it anew, under another epoch.
func (c *Core) Renew(name string) {
	c.change(func() {
		delete(c.rooms, name)
		c.room(name)
	})
}

// Texts are the messages of a room, oldest first.
func (c *Core) Texts(name string) (texts []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rooms[name]; r != nil {
		for _, record := range r.records {
			texts = append(texts, textOf(record))
		}
	}
	return texts
}

// Members are the sessions of a room and the statements that were made.
func (c *Core) Members(name string) (sessions uint32, statements int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.rooms[name]; r != nil {
		return r.sessions, r.statements
	}
	return 0, 0
}

// Reads counts pages of history and questions for heads.
func (c *Core) Reads() (history, heads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads, c.heads
}

// Faults are breaches of the lanes' rules that the edge committed.
func (c *Core) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.crossed...)
}

// PutEdge makes an edge known, or what is new of it.
func (c *Core) PutEdge(e *rpc.Edge) {
	c.change(func() {
		edges := []*rpc.Edge{e}
		for _, other := range c.state.GetEdges() {
			if other.GetIncarnation() != e.GetIncarnation() {
				edges = append(edges, other)
			}
		}
		c.restate(edges, c.state.GetPolicies())
	})
}

// Edge is what an edge last said about itself.
func (c *Core) Edge(incarnation uint64) *rpc.Edge {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.edges[incarnation]
}

// room makes a room if there is none. Caller holds mu.
func (c *Core) room(name string) *room {
	r := c.rooms[name]
	if r == nil {
		c.epochs++
		r = &room{epoch: 1000 + c.epochs, first: 1, keys: map[string]*rpc.Result{}, users: map[string]*rpc.UserPresence{}}
		c.rooms[name] = r
	}
	return r
}

func (r *room) append(body []byte) uint64 {
	return r.put(protocol.RecordMark{}, body)
}

// after returns the records after seq, at most limit and not
// much more than size bytes.
func (r *room) after(seq uint64, limit, size int) (first uint64, count int, records []byte) {
	first = max(seq+1, r.first)
	for s := first; s <= r.head && count < limit && (count == 0 || len(records) < size); s++ {
		records = append(records, r.records[s-r.first]...)
		count++
	}
	return first, count, records
}
