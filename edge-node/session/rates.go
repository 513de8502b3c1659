package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/barrage-im/barrage/edge-node/limit"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// rates are the publish rates of users in rooms: a table for each rate that a
// policy names, so that a policy may change while its rooms run.
type rates struct {
	mu     sync.Mutex // guards tables
	tables map[rate]*limit.Table
}

type rate struct {
	perSecond float64
	burst     int
}

func (r *rates) init() { r.tables = make(map[rate]*limit.Table) }

func (r *rates) table(key rate) *limit.Table {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tables[key]
	if t == nil {
		if len(r.tables) >= maxUserTables {
			clear(r.tables) // policies that are no more; everybody starts with a full bucket
		}
		t = limit.NewTable(key.perSecond, key.burst, maxRateKeys)
		r.tables[key] = t
	}
	return t
}

// rateKey is what a user's rate in a room is counted by.
func rateKey(user, room string) string { return user + "\x00" + room }

// allow takes one message of a user in a room that takes one in slow
// milliseconds.
func (r *rates) allow(key string, policy *rpc.Policy, slow uint32, now time.Time) *protocol.Error {
	perUser := rate{float64(policy.GetUserRate()), int(policy.GetUserBurst())}
	if perUser.perSecond == 0 {
		perUser.perSecond = defaultRate
	}
	if perUser.burst == 0 {
		perUser.burst = max(defaultBurst, int(perUser.perSecond))
	}
	if ok, wait := r.table(perUser).Allow(key, now); !ok {
		return &protocol.Error{Code: protocol.RateLimited, Message: "you publish too fast here", RetryAfter: ceilMS(wait)}
	}
	if slow > 0 {
		if ok, wait := r.table(rate{1000 / float64(slow), 1}).Allow(key, now); !ok {
			return &protocol.Error{Code: protocol.SlowMode, Message: "this room is in slow mode", RetryAfter: ceilMS(wait)}
		}
	}
	return nil
}

// slowRooms are rooms without members here, where moderators set a slow mode
// that the table of policies does not know: core says so with every publish.
type slowRooms struct {
	some atomic.Bool // there are any: publishes do not wait for one another to learn that

	mu  sync.Mutex // guards the field below
	set map[string]uint32
}

func (l *slowRooms) note(room string, ms uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch _, known := l.set[room]; {
	case ms == 0:
		delete(l.set, room)
	case !known && len(l.set) >= maxSlowRooms:
		clear(l.set) // the next publish to each says it again
		fallthrough
	default:
		if l.set == nil {
			l.set = make(map[string]uint32)
		}
		l.set[room] = ms
	}
	l.some.Store(len(l.set) > 0)
}

// of is the pause between two messages of a user, in milliseconds.
func (l *slowRooms) of(room string, policy *rpc.Policy) uint32 {
	if !l.some.Load() {
		return policy.GetSlowModeMs()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ms := l.set[room]; ms != 0 {
		return ms
	}
	return policy.GetSlowModeMs()
}

// slowed notes what core said about a room. One with a feed says it itself.
func (s *Server) slowed(room string, ms uint32) {
	if ms == 0 && !s.slow.some.Load() {
		return
	}
	if r := s.hub.Room(room); r != nil && r.Policy() != nil {
		ms = 0
	}
	s.slow.note(room, ms)
}

func ceilMS(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }
