package coretest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// shadowVerdict is rpc.Publish.verdict of a message for its sender and for
// moderators only.
const shadowVerdict = 3

// Moderate does what a moderator on another edge, or an operator, asks for.
func (c *Core) Moderate(m *rpc.Moderate) *rpc.Result {
	res := &rpc.Result{}
	c.change(func() { c.moderate(m, res) })
	return res
}

// Moderated are the commands of moderators that were applied, in order.
func (c *Core) Moderated() []*rpc.Moderate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.moderated)
}

// Put appends a message as it comes, with its mark.
func (c *Core) Put(name string, mark protocol.RecordMark, sender, kind, text string, data []byte) (seq uint64) {
	c.change(func() {
		seq = c.room(name).put(mark, protocol.AppendBody(nil, sender, "", kind, text, data))
	})
	return seq
}

func (r *room) put(mark protocol.RecordMark, body []byte) uint64 {
	r.head++
	r.records = append(r.records, protocol.AppendMarkedRecord(nil, r.head, time.Now().UnixMilli(), mark, body))
	return r.head
}

// moderate applies a command. Caller holds mu.
func (c *Core) moderate(m *rpc.Moderate, res *rpc.Result) {
	res.TimeMs = time.Now().UnixMilli()
	if c.refuseModerate != nil {
		if res.Code = uint32(c.refuseModerate(m)); res.Code != 0 {
			return
		}
	}
	c.moderated = append(c.moderated, m)
	now := proto.CloneOf(c.moderations[m.GetRoom()])
	if now == nil {
		now = &rpc.Moderation{}
	}
	switch m.GetAction() {
	case protocol.Retract:
		c.retract(m, res)
		return
	case protocol.Slow:
		now.SlowModeMs = uint32(m.GetDurationMs())
		c.edition++
	case protocol.Mute, protocol.Ban:
		s := &rpc.Sanction{User: m.GetUser(), Action: m.GetAction(), Rank: m.GetRank(), Actor: m.GetActor(), Reason: m.GetReason()}
		if m.GetDurationMs() > 0 {
			s.UntilMs = res.TimeMs + int64(m.GetDurationMs())
		}
		now.Sanctions = append(without(now.Sanctions, m.GetUser(), m.GetAction()), s)
	case protocol.Unmute, protocol.Unban:
		now.Sanctions = without(now.Sanctions, m.GetUser(), strings.TrimPrefix(m.GetAction(), "un"))
	}
	slices.SortFunc(now.Sanctions, func(a, b *rpc.Sanction) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Action, b.Action))
	})
	c.moderations[m.GetRoom()] = now
}

func without(list []*rpc.Sanction, user, action string) []*rpc.Sanction {
	return slices.DeleteFunc(list, func(s *rpc.Sanction) bool { return s.User == user && s.Action == action })
}

func (c *Core) retract(m *rpc.Moderate, res *rpc.Result) {
	r := c.room(m.GetRoom())
	if m.GetSeq() < r.first || m.GetSeq() > r.head {
		res.Code = uint32(protocol.Trimmed)
		return
	}
	res.Seq = r.put(protocol.RecordMark{Retracts: m.GetSeq()}, protocol.AppendBody(nil, m.GetActor(), m.GetName(), "", m.GetReason(), nil))
	at := m.GetSeq() - r.first
	if tombstone, err := protocol.AppendTombstone(nil, r.records[at]); err == nil {
		r.records[at] = tombstone
	}
}

// barred says which sanction stops a user. Caller holds mu.
func (c *Core) barred(room, user string, rank uint32, actions ...string) protocol.Code {
	for _, s := range c.moderations[room].GetSanctions() {
		over := s.GetUntilMs() != 0 && s.GetUntilMs() <= time.Now().UnixMilli()
		if s.GetUser() != user || rank >= s.GetRank() || over || !slices.Contains(actions, s.GetAction()) {
			continue
		}
		if s.GetAction() == protocol.Ban {
			return protocol.Banned
		}
		return protocol.Muted
	}
	return protocol.OK
}

// policyOf is a room's effective policy. Caller holds mu.
func (c *Core) policyOf(room string) *rpc.Policy {
	slow := c.moderations[room].GetSlowModeMs()
	if slow == 0 {
		return c.policy
	}
	policy := proto.CloneOf(c.policy)
	policy.SlowModeMs = slow
	return policy
}

// RefuseModerate decides moderators' commands before they are applied.
func (c *Core) RefuseModerate(f func(*rpc.Moderate) protocol.Code) {
	c.change(func() { c.refuseModerate = f })
}
