// Package clienttest is a service in memory for tests of what is built on
// package client: a Server is a client.Dialer whose endpoints are edges over
// the same rooms. It keeps the rules of the protocol that a client depends on
// (one log per room, keys, order, resume) and breaks connections on demand. It
// starts no goroutines, so that it works inside a testing/synctest bubble.
package clienttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Server is a service. Its hooks are set before the first connection; they run
// with the server locked and must not call it.
type Server struct {
	// Connect overrides the answer to connect when it returns a frame.
	Connect func(endpoint string, c *wire.Connect) *wire.ServerFrame
	// Command overrides the answer to any other command when it returns a
	// frame (whose id is filled in).
	Command func(endpoint string, f *wire.ClientFrame) *wire.ServerFrame
	// Appended is called after a publish was appended, before it is answered
	// and delivered. When it returns true the publisher's connection breaks
	// there, so that the client cannot know.
	Appended func(p *wire.Publish, seq uint64) (breakConnection bool)
	// Deliver may change what a session is sent; nil means nothing.
	Deliver func(f *wire.ServerFrame) *wire.ServerFrame
	// Role says what a user is in a room; nil: a member.
	Role func(user, room string) string

	// Endpoints are named in connected.
	Endpoints []string
	Limits    *wire.Limits
	Heartbeat *wire.HeartbeatPolicy
	TokenLife time.Duration // 0: for ever
	JSON      bool          // what clients speak

	mu       sync.Mutex // guards everything below, and sessions
	rooms    map[string]*room
	sessions map[*session]struct{}
	down     map[string]error
	dials    []string
	tokens   []string // in the order of connect and refresh
	nextID   int
}

type room struct {
	epoch string
	first uint64 // seq of log[0]
	log   []*wire.Message
	keys  map[string]uint64

	sanctions map[string]*wire.Sanction // by action and user
	slowMS    uint64
}

func (r *room) head() uint64 { return r.first + uint64(len(r.log)) - 1 }

// New makes a service with one edge per endpoint that is dialled.
func New() *Server {
	return &Server{
		Limits: &wire.Limits{
			FrameBytes: protocol.MaxClientFrame, MessageBytes: protocol.MaxMessage, Rooms: protocol.MaxRooms,
			Outstanding: 256, History: protocol.MaxHistory, KeyWindowMs: uint32(protocol.KeyWindow.Milliseconds()),
		},
		rooms: map[string]*room{}, sessions: map[*session]struct{}{}, down: map[string]error{},
	}
}

// Dial connects to any endpoint that is not down.
func (s *Server) Dial(ctx context.Context, endpoint string) (client.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, endpoint)
	if err := s.down[endpoint]; err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.nextID++
	e := &session{s: s, id: fmt.Sprintf("s%d", s.nextID), endpoint: endpoint, orders: map[string]uint64{}, joined: map[string]bool{}}
	if s.JSON {
		e.enc = protocol.JSON
	}
	e.cond.L = &s.mu
	s.sessions[e] = struct{}{}
	return e, nil
}

var errDown = errors.New("connection refused")

// Down breaks an endpoint's connections and refuses new ones, until Up.
func (s *Server) Down(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[endpoint] = errDown
	for e := range s.sessions {
		if e.endpoint == endpoint {
			e.breakLocked()
		}
	}
}

// Up accepts connections at endpoint again.
func (s *Server) Up(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.down, endpoint)
}

// Break breaks all connections.
func (s *Server) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.sessions {
		e.breakLocked()
	}
}

// Push sends a frame to every session of endpoint.
func (s *Server) Push(endpoint string, f *wire.ServerFrame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.sessions {
		if e.endpoint == endpoint {
			e.sendLocked(f)
		}
	}
}

// Append puts a message into a room, as another client would.
func (s *Server) Append(name string, m *wire.Message) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(name, m)
}

// Log is a room's history.
func (s *Server) Log(name string) []*wire.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*wire.Message(nil), s.roomLocked(name).log...)
}

// Trim forgets a room's messages before first.
func (s *Server) Trim(name string, first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roomLocked(name)
	for len(r.log) > 0 && r.first < first {
		r.log, r.first = r.log[1:], r.first+1
	}
}

// Renew drops a room and makes it anew, with another epoch.
func (s *Server) Renew(name, epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[name] = &room{epoch: epoch, first: 1, keys: map[string]uint64{}}
}

// Connections are the endpoints of the living connections.
func (s *Server) Connections() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for e := range s.sessions {
		out = append(out, e.endpoint)
	}
	return out
}

// Dials are the endpoints dialled, in order.
func (s *Server) Dials() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.dials...)
}

// Tokens are the tokens shown, in order.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tokens...)
}

func (s *Server) roomLocked(name string) *room {
	r := s.rooms[name]
	if r == nil {
		r = &room{epoch: "1", first: 1, keys: map[string]uint64{}}
		s.rooms[name] = r
	}
	return r
}

func (s *Server) appendLocked(name string, m *wire.Message) uint64 {
	r := s.roomLocked(name)
	m.Seq = r.head() + 1
	if m.GetTimeMs() == 0 {
		m.TimeMs = time.Now().UnixMilli()
	}
	r.log = append(r.log, m)
	for e := range s.sessions {
		if e.joined[name] {
			e.sendLocked(&wire.ServerFrame{Body: &wire.ServerFrame_Batch{Batch: &wire.Batch{
				Room: name, Epoch: r.epoch, Messages: []*wire.Message{m},
			}}})
		}
	}
	return m.GetSeq()
}

// Unread is how many bytes wait for clients to read them.
func (s *Server) Unread() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for e := range s.sessions {
		n += len(e.out)
	}
	return n
}

// Do runs f while no hook runs.
func (s *Server) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
