package rpc

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
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
	MaxSlowMode       = 24 * 60 * 60 * 1000 // ms
	MaxPolicies       = 1000                // each new room is matched against all
	MaxPattern        = protocol.MaxRoomName + 16
	MaxModerators     = 100    // owners, and moderators, of one policy
	MaxAllModerators  = 10_000 // of all policies: every edge has the table, in a message of 4 MiB at most
)

const maxSeverity = 4 // of a filter entry

// EffectivePolicy returns a copy of p in which defaults are filled in and
// excesses cut. nil stands for the built-in default.
func EffectivePolicy(p *Policy) *Policy {
	e := &Policy{Pattern: "*"}
	if p != nil {
		e = proto.Clone(p).(*Policy)
	}
	if e.Placement == "" {
		e.Placement = DefaultPlacement
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

// Verbs are what a policy may allow everybody.
var Verbs = []string{"join", "publish", "history", "members"}

// CheckPolicies says what is wrong with a policy table, for the operator who
// wants to set it; placements are those it may name.
func CheckPolicies(policies []*Policy, placements []*Placement) error {
	if len(policies) > MaxPolicies {
		return fmt.Errorf("%d policies: at most %d are allowed", len(policies), MaxPolicies)
	}
	seen := make(map[string]bool)
	moderators := 0
	for i, p := range policies {
		if err := checkPolicy(p, placements); err != nil {
			return fmt.Errorf("policy %d (pattern %.80q): %w", i+1, p.GetPattern(), err)
		}
		if seen[p.Pattern] {
			return fmt.Errorf("policy %d: pattern %q is there twice, the second would never match", i+1, p.Pattern)
		}
		seen[p.Pattern] = true
		moderators += len(p.Owners) + len(p.Moderators)
	}
	if moderators > MaxAllModerators {
		return fmt.Errorf("%d owners and moderators in all policies, at most %d are allowed: give the others the role in their token", moderators, MaxAllModerators)
	}
	return nil
}

func checkPolicy(p *Policy, placements []*Placement) error {
	switch {
	case p.GetPattern() == "":
		return fmt.Errorf("pattern must not be empty; * covers every room")
	case len(p.Pattern) > MaxPattern:
		return fmt.Errorf("pattern must have at most %d bytes", MaxPattern)
	case !utf8.ValidString(p.Pattern):
		return fmt.Errorf("pattern must be valid UTF-8")
	case p.Placement != "" && !slices.ContainsFunc(placements, func(q *Placement) bool { return q.Name == p.Placement }):
		return fmt.Errorf("there is no placement %.80q", p.Placement)
	}
	for _, n := range []struct {
		name       string
		value, top uint64
	}{
		{"retain_messages", uint64(p.RetainMessages), MaxRetainMessages},
		{"retain_bytes", p.RetainBytes, MaxRetainBytes},
		{"retain_age_ms", p.RetainAgeMs, millis(MaxRetainAge)},
		{"roster_limit", uint64(p.RosterLimit), MaxRosterLimit},
		{"message_bytes", uint64(p.MessageBytes), protocol.MaxMessage},
		{"publish_rate", uint64(p.PublishRate), MaxPublishRate},
		{"publish_burst", uint64(p.PublishBurst), MaxPublishRate},
		{"user_rate", uint64(p.UserRate), MaxPublishRate},
		{"user_burst", uint64(p.UserBurst), MaxPublishRate},
		{"slow_mode_ms", uint64(p.SlowModeMs), MaxSlowMode},
		{"idle_ms", p.IdleMs, millis(MaxIdle)},
	} {
		if n.value > n.top {
			return fmt.Errorf("%s is %d, the most is %d", n.name, n.value, n.top)
		}
	}
	for _, v := range p.Verbs {
		if !slices.Contains(Verbs, v) {
			return fmt.Errorf("verb %.80q is none of %v", v, Verbs)
		}
	}
	return checkModeration(p)
}

// checkModeration checks who moderates, and what the filter does.
func checkModeration(p *Policy) error {
	for _, list := range []struct {
		name  string
		users []string
	}{{"owners", p.Owners}, {"moderators", p.Moderators}} {
		if len(list.users) > MaxModerators {
			return fmt.Errorf("%d %s, at most %d are allowed: give the others the role in their token", len(list.users), list.name, MaxModerators)
		}
		for i, user := range list.users {
			if err := protocol.CheckUser(user); err != nil {
				return fmt.Errorf("%s: %.80q: %s", list.name, user, message(err))
			}
			if slices.Contains(list.users[:i], user) {
				return fmt.Errorf("%s: %q is there twice", list.name, user)
			}
		}
	}
	for _, choice := range []struct {
		name, value string
		from        []string
	}{
		{"role", p.Role, []string{"member", "muted"}},
		{"filter", p.Filter, []string{"enforce", "report", "off"}},
		{"hook", p.Hook, []string{"off", "open", "closed"}},
	} {
		if choice.value != "" && !slices.Contains(choice.from, choice.value) {
			return fmt.Errorf("%s %.80q is none of %v", choice.name, choice.value, choice.from)
		}
	}
	if p.FilterSeverity > maxSeverity {
		return fmt.Errorf("filter_severity is %d, the most is %d", p.FilterSeverity, maxSeverity)
	}
	return nil
}
