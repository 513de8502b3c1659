package session

import (
	"sync"
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

// allow takes one message of a user in a room.
func (r *rates) allow(key string, policy *rpc.Policy, now time.Time) *protocol.Error {
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
	if slow := policy.GetSlowModeMs(); slow > 0 {
		if ok, wait := r.table(rate{1000 / float64(slow), 1}).Allow(key, now); !ok {
			return &protocol.Error{Code: protocol.SlowMode, Message: "this room is in slow mode", RetryAfter: ceilMS(wait)}
		}
	}
	return nil
}

func ceilMS(d time.Duration) int64 { return (d + time.Millisecond - 1).Milliseconds() }
