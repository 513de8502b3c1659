package room

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// The built-in policy; docs/architecture.md says why.
const (
	defaultRetainMessages = 1000
	defaultRetainBytes    = 1 << 20
	defaultRetainAge      = 24 * time.Hour
	defaultRosterLimit    = 500
	defaultMessageBytes   = 4 << 10
	defaultPublishRate    = 500
	defaultPublishBurst   = 1000
	defaultUserRate       = 10
	defaultUserBurst      = 20
	defaultIdle           = 10 * time.Minute
)

// What a policy may ask for at most. Control refuses more; here it is cut, so
// that memory stays bounded whatever the log holds.
const (
	MaxRetainMessages = 1_000_000 // 4 bytes of memory each
	MaxRetainBytes    = 4 << 30   // of one room, on disk
	MaxRetainAge      = 366 * 24 * time.Hour
	MaxRosterLimit    = 10_000  // about 200 bytes of memory each
	MaxPublishRate    = 100_000 // more than one shard can append
	MaxIdle           = 366 * 24 * time.Hour
	MaxPolicies       = 1000 // each new room is matched against all
	MaxPattern        = protocol.MaxRoomName + 16
)

// EffectivePolicy returns a copy of p in which defaults are filled in and
// excesses cut. nil stands for the built-in default.
func EffectivePolicy(p *rpc.Policy) *rpc.Policy {
	e := &rpc.Policy{Pattern: "*"}
	if p != nil {
		e = proto.Clone(p).(*rpc.Policy)
	}
	if e.Placement == "" {
		e.Placement = rpc.DefaultPlacement
	}
	e.RetainMessages = orDefault(e.RetainMessages, defaultRetainMessages, MaxRetainMessages)
	e.RetainBytes = orDefault(e.RetainBytes, defaultRetainBytes, MaxRetainBytes)
	e.RetainAgeMs = orDefault(e.RetainAgeMs, millis(defaultRetainAge), millis(MaxRetainAge))
	e.RosterLimit = orDefault(e.RosterLimit, defaultRosterLimit, MaxRosterLimit)
	e.MessageBytes = orDefault(e.MessageBytes, defaultMessageBytes, protocol.MaxMessage)
	e.PublishRate = orDefault(e.PublishRate, defaultPublishRate, MaxPublishRate)
	e.PublishBurst = orDefault(e.PublishBurst, defaultPublishBurst, MaxPublishRate)
	e.UserRate = orDefault(e.UserRate, defaultUserRate, MaxPublishRate)
	e.UserBurst = orDefault(e.UserBurst, defaultUserBurst, MaxPublishRate)
	e.IdleMs = orDefault(e.IdleMs, millis(defaultIdle), millis(MaxIdle))
	return e
}

func orDefault[T uint32 | uint64](v, def, limit T) T {
	if v == 0 {
		return def
	}
	return min(v, limit)
}

func millis(d time.Duration) uint64 { return uint64(d.Milliseconds()) }

// MatchPolicy returns the first policy whose pattern covers room, or nil.
func MatchPolicy(policies []*rpc.Policy, room string) *rpc.Policy {
	return rpc.MatchPolicy(policies, room)
}

// table is the shard's copy of the policies, with what each comes to.
type table struct {
	version   uint64
	policies  []*rpc.Policy
	effective []*effective // of policies
	fallback  *effective
}

// effective is a policy with its fingerprint: rooms keep the fingerprint, so
// that after a restart too they know whether a new table changed anything.
type effective struct {
	*rpc.Policy
	print uint64
}

func newTable(version uint64, policies []*rpc.Policy) *table {
	t := &table{version: version, policies: policies, fallback: newEffective(nil)}
	for _, p := range policies {
		t.effective = append(t.effective, newEffective(p))
	}
	return t
}

func (t *table) match(room string) *effective {
	for i, p := range t.policies {
		if protocol.MatchPattern(p.GetPattern(), room) {
			return t.effective[i]
		}
	}
	return t.fallback
}

func newEffective(p *rpc.Policy) *effective {
	e := EffectivePolicy(p)
	return &effective{e, fingerprint(e)}
}

// fingerprint is FNV-1a over the fields in order. It is stored; a new field
// counts only when it is not zero.
func fingerprint(p *rpc.Policy) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	mix := func(b byte) { h = (h ^ uint64(b)) * prime }
	number := func(v uint64) {
		for range 8 {
			mix(byte(v))
			v >>= 8
		}
	}
	text := func(s string) {
		number(uint64(len(s)))
		for i := range len(s) {
			mix(s[i])
		}
	}
	text(p.Pattern)
	text(p.Placement)
	for _, v := range []uint64{
		uint64(p.RetainMessages), p.RetainBytes, p.RetainAgeMs, uint64(p.RosterLimit), uint64(p.MessageBytes),
		uint64(p.PublishRate), uint64(p.PublishBurst), uint64(p.UserRate), uint64(p.UserBurst),
		uint64(p.SlowModeMs), p.IdleMs,
	} {
		number(v)
	}
	if p.PresenceEvents {
		mix(1)
	}
	for _, v := range p.Verbs {
		text(v)
	}
	return h
}

// checkPolicies says whether a table may be applied.
func checkPolicies(p *rpc.Policies) bool {
	if len(p.Policies) > MaxPolicies {
		return false
	}
	for _, q := range p.Policies {
		if q == nil || len(q.Pattern) > MaxPattern {
			return false
		}
	}
	return true
}
