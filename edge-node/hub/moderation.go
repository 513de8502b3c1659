package hub

import (
	"slices"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Moderation is what moderators have decided about the room, as far as this
// edge has heard; nil: nothing. Core decides; this is to refuse early.
func (r *Room) Moderation() *rpc.Moderation { return r.moderation.Load() }

// Sanction finds the sanction of this action (protocol.Mute, protocol.Ban) that
// a user of this rank is under; nil: none.
func Sanction(m *rpc.Moderation, action, user string, rank rpc.Rank, now time.Time) *rpc.Sanction {
	list := m.GetSanctions()
	i, found := slices.BinarySearchFunc(list, user, func(s *rpc.Sanction, user string) int { return strings.Compare(s.GetUser(), user) })
	for ; found && i < len(list) && list[i].GetUser() == user; i++ {
		if s := list[i]; s.GetAction() == action && reaches(s, rank, now) {
			return s
		}
	}
	return nil
}

// reaches says whether a sanction holds for users of this rank now.
func reaches(s *rpc.Sanction, rank rpc.Rank, now time.Time) bool {
	return uint32(rank) < s.GetRank() && (s.GetUntilMs() == 0 || now.UnixMilli() < s.GetUntilMs())
}

// Refusal is what a user under a sanction is told, by its action.
func Refusal(s *rpc.Sanction) *protocol.Error {
	code, what := protocol.Muted, "you are muted in this room"
	if s.GetAction() == protocol.Ban {
		code, what = protocol.Banned, "you are banned from this room"
	}
	if s.GetUntilMs() != 0 {
		what += " until " + time.UnixMilli(s.GetUntilMs()).UTC().Format(time.RFC3339)
	}
	if s.GetReason() != "" {
		what += ": " + s.GetReason()
	}
	return &protocol.Error{Code: code, Message: what}
}

// barred refuses a join of somebody who is banned.
func (r *Room) barred(m *Member, is *rpc.Moderation) *protocol.Error {
	if s := Sanction(is, protocol.Ban, m.user, m.Rank(), r.hub.now()); s != nil {
		return Refusal(s)
	}
	return nil
}

// role is what a member is told that it is.
func (r *Room) role(m *Member, is *rpc.Moderation) string {
	if m.Join.Role == protocol.RoleMember && Sanction(is, protocol.Mute, m.user, m.Rank(), r.hub.now()) != nil {
		return protocol.RoleMuted
	}
	return m.Join.Role
}

// recall tells a member that has just come of sanctions that it missed between
// the making of its reply, by was, and the moment from which it is found.
func (r *Room) recall(m *Member, was *rpc.Moderation) {
	is := r.Moderation()
	if is == was {
		return
	}
	for _, action := range []string{protocol.Mute, protocol.Ban} {
		if s := Sanction(is, action, m.user, m.Rank(), r.hub.now()); s != nil {
			m.owner.Sanctioned(m, r.told(s, action))
		}
	}
}

func (r *Room) told(s *rpc.Sanction, action string) *wire.Sanction {
	told := &wire.Sanction{Room: r.name, Action: action}
	if action == s.GetAction() {
		told.UntilMs, told.Reason = s.GetUntilMs(), s.GetReason()
	}
	return told
}

// A change is a sanction that was given or changed or, by its action, lifted.
type change struct {
	sanction *rpc.Sanction
	action   string
}

// changes lists by user what is different between two states of a room.
func changes(was, is *rpc.Moderation) map[string][]change {
	type key struct{ user, action string }
	before := make(map[key]*rpc.Sanction, len(was.GetSanctions()))
	for _, s := range was.GetSanctions() {
		before[key{s.GetUser(), s.GetAction()}] = s
	}
	out := make(map[string][]change)
	for _, s := range is.GetSanctions() {
		k := key{s.GetUser(), s.GetAction()}
		old := before[k]
		delete(before, k)
		if old == nil || old.GetUntilMs() != s.GetUntilMs() || old.GetReason() != s.GetReason() || old.GetRank() != s.GetRank() {
			out[k.user] = append(out[k.user], change{s, k.action})
		}
	}
	for k, s := range before {
		out[k.user] = append(out[k.user], change{s, "un" + k.action})
	}
	return out
}

// sanction tells the members whom a change reaches.
func (r *Room) sanction(was, is *rpc.Moderation) {
	if was == is {
		return
	}
	byUser := changes(was, is)
	if len(byUser) == 0 {
		return
	}
	now := r.hub.now()
	for _, m := range r.who(func(m *Member) bool { return byUser[m.user] != nil }) {
		for _, c := range byUser[m.user] {
			lifted := c.action != c.sanction.GetAction()
			if lifted && uint32(m.Rank()) < c.sanction.GetRank() || !lifted && reaches(c.sanction, m.Rank(), now) {
				r.hub.met.sanctions.WithLabelValues(c.action).Inc()
				m.owner.Sanctioned(m, r.told(c.sanction, c.action))
			}
		}
	}
}

// restand has the members looked at when the policy names other owners or
// moderators than before.
func (r *Room) restand(before *rpc.Policy) {
	is := r.policy.Load()
	if is == before || slices.Equal(is.GetOwners(), before.GetOwners()) && slices.Equal(is.GetModerators(), before.GetModerators()) {
		return
	}
	for _, m := range r.who(func(*Member) bool { return true }) {
		m.owner.Restand(m)
	}
}

// who lists the members that match.
func (r *Room) who(match func(*Member) bool) (list []*Member) {
	r.mu.Lock()
	shards := r.shards
	r.mu.Unlock()
	for _, s := range shards {
		s.mu.Lock()
		for _, m := range s.members {
			if match(m) {
				list = append(list, m)
			}
		}
		s.mu.Unlock()
	}
	return list
}
