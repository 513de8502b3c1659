package room

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// moderate applies one Moderate of a lane or of the leader. top is the highest
// rank that such a caller may have. A command that is sent again does the same
// again: a mute begins anew, everything else finds nothing left to do.
func (s *Shard) moderate(body []byte, top rpc.Rank, res *rpc.Result) {
	m := &rpc.Moderate{}
	if proto.Unmarshal(body, m) != nil || !named(m.Room, protocol.MaxRoomName) || !named(m.Actor, protocol.MaxUser) ||
		len(m.Name) > protocol.MaxName || m.Rank > uint32(top) {
		res.Code = uint32(protocol.BadCommand)
		return
	}
	if r := s.rooms[m.Room]; r != nil {
		res.Epoch = r.epoch
	}
	code := protocol.Forbidden
	if m.Rank > uint32(rpc.Rank_MEMBER) {
		if mod := s.moderated[m.Room]; mod != nil {
			s.expire(mod)
		}
		code = s.moderation(m, res)
	}
	if res.Code = uint32(code); code == protocol.OK && res.TimeMs == 0 {
		res.TimeMs = s.time
	}
}

func (s *Shard) moderation(m *rpc.Moderate, res *rpc.Result) protocol.Code {
	if len(m.Reason) > protocol.MaxReason {
		return protocol.BadArgument
	}
	switch m.Action {
	case actRetract:
		return s.retract(m, res)
	case actMute, actBan, actUnmute, actUnban:
		if !named(m.User, protocol.MaxUser) || m.DurationMs > uint64(protocol.MaxSanction.Milliseconds()) {
			return protocol.BadArgument
		}
	case actSlow:
		if m.DurationMs > rpc.MaxSlowMode {
			return protocol.BadArgument
		}
	default:
		return protocol.BadArgument
	}
	if m.DeadlineMs != 0 && s.time > m.DeadlineMs {
		return protocol.Expired
	}
	switch m.Action {
	case actMute, actBan:
		return s.sanction(m)
	case actUnmute, actUnban:
		return s.lift(m)
	}
	return s.slow(m)
}

// sanction mutes or bans a user, in place of an earlier sanction of the kind
// unless somebody of a higher rank gave that.
func (s *Shard) sanction(m *rpc.Moderate) protocol.Code {
	x := &rpc.Sanction{User: m.User, Action: m.Action, Rank: m.Rank, Actor: m.Actor, Reason: m.Reason}
	if m.DurationMs != 0 {
		x.UntilMs = s.time + int64(m.DurationMs)
	}
	mod := s.moderated[m.Room]
	i, found := 0, false
	if mod != nil {
		if i, found = mod.find(m.User, m.Action); found {
			before := mod.now.Sanctions[i]
			switch {
			case before.Rank > m.Rank:
				return protocol.Forbidden
			case proto.Equal(before, x):
				return protocol.OK
			}
		}
	}
	if !found && (s.sanctions >= s.limits.allSanctions || mod != nil && len(mod.now.Sanctions) >= s.limits.sanctions) {
		return protocol.Overloaded
	}
	if mod = s.moderationOf(m.Room); mod == nil {
		return protocol.Overloaded
	}
	list := make([]*rpc.Sanction, 0, len(mod.now.Sanctions)+1)
	list = append(append(list, mod.now.Sanctions[:i]...), x)
	if found {
		i++
	}
	list = append(list, mod.now.Sanctions[i:]...)
	s.decide(mod, &rpc.Moderation{Sanctions: list, SlowModeMs: mod.now.SlowModeMs})
	s.storeSanction(m.Room, x)
	s.record(m)
	return protocol.OK
}

// lift takes a sanction back, if there is one.
func (s *Shard) lift(m *rpc.Moderate) protocol.Code {
	action := actMute
	if m.Action == actUnban {
		action = actBan
	}
	mod := s.moderated[m.Room]
	if mod == nil {
		return protocol.OK
	}
	i, found := mod.find(m.User, action)
	if !found {
		return protocol.OK
	}
	x := mod.now.Sanctions[i]
	if x.Rank > m.Rank {
		return protocol.Forbidden
	}
	list := slices.Delete(slices.Clone(mod.now.Sanctions), i, i+1)
	s.decide(mod, &rpc.Moderation{Sanctions: list, SlowModeMs: mod.now.SlowModeMs})
	s.batch.Delete(sanctionKey(m.Room, x))
	s.record(m)
	return protocol.OK
}

// slow sets how long a user must wait between two messages, or goes back to
// what the policy says.
func (s *Shard) slow(m *rpc.Moderate) protocol.Code {
	if s.moderated[m.Room].slow() == uint32(m.DurationMs) {
		return protocol.OK
	}
	mod := s.moderationOf(m.Room)
	if mod == nil {
		return protocol.Overloaded
	}
	s.decide(mod, &rpc.Moderation{Sanctions: mod.now.Sanctions, SlowModeMs: uint32(m.DurationMs)})
	if m.DurationMs == 0 {
		s.batch.Delete(slowKey(m.Room))
	} else {
		s.put(slowKey(m.Room), uvarint(m.DurationMs))
	}
	s.record(m)
	return protocol.OK
}

// detail is what the audit log says of a moderation besides who and what.
func detail(m *rpc.Moderate) string {
	out := "room " + m.Room
	if m.Action == actRetract {
		out += fmt.Sprintf(", message %d", m.Seq)
	}
	if m.User != "" {
		out += ", user " + m.User
	}
	switch m.Action {
	case actMute, actBan, actSlow:
		if m.DurationMs > 0 {
			out += ", for " + (time.Duration(m.DurationMs) * time.Millisecond).String()
		}
	}
	out += ", as " + rankName(m.Rank)
	if m.Reason != "" {
		out += ": " + m.Reason
	}
	return out
}

func rankName(rank uint32) string {
	switch rpc.Rank(rank) {
	case rpc.Rank_MODERATOR:
		return "moderator"
	case rpc.Rank_OWNER:
		return "owner"
	case rpc.Rank_OPERATOR:
		return "operator"
	case rpc.Rank_MEMBER:
	}
	return "member"
}
