package room

import (
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// EffectivePolicy returns a copy of p in which defaults are filled in and
// excesses cut. nil stands for the built-in default.
func EffectivePolicy(p *rpc.Policy) *rpc.Policy { return rpc.EffectivePolicy(p) }

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
	for i, list := range [][]string{p.Owners, p.Moderators} {
		if len(list) > 0 {
			mix(byte(2 + i))
			number(uint64(len(list)))
		}
		for _, v := range list {
			text(v)
		}
	}
	for i, v := range []string{p.Role, p.Filter, p.Hook} {
		if v != "" {
			mix(byte(4 + i))
			text(v)
		}
	}
	if p.FilterSeverity != 0 {
		mix(7)
		number(uint64(p.FilterSeverity))
	}
	return h
}

// checkPolicies says whether a table may be applied. Control has checked the
// rest; EffectivePolicy cuts what a table of another version may ask for.
func checkPolicies(p *rpc.Policies) bool {
	if len(p.Policies) > rpc.MaxPolicies {
		return false
	}
	for _, q := range p.Policies {
		if len(q.Pattern) > rpc.MaxPattern {
			return false
		}
	}
	return true
}
