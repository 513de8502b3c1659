package session

import (
	"slices"

	"github.com/barrage-im/barrage/edge-node/auth"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
	"github.com/barrage-im/barrage/protocol/token"
)

// A standing is what a user is in a room.
type standing struct {
	role string // one of protocol.Roles
	rank rpc.Rank
}

func (s standing) moderates() bool { return s.rank >= rpc.Rank_MODERATOR }

// stand says what a user is in a room: the strongest that its claims and the
// room's policy make of it, where muted, of either, takes the right to publish
// from whoever is no more than a member.
func stand(claims *auth.Claims, policy *rpc.Policy, room string) standing {
	role, named := claims.Role(room), named(policy, claims.User)
	switch {
	case role == protocol.RoleOwner || named == protocol.RoleOwner:
		return standing{protocol.RoleOwner, rpc.Rank_OWNER}
	case role == protocol.RoleModerator || named == protocol.RoleModerator:
		return standing{protocol.RoleModerator, rpc.Rank_MODERATOR}
	case role == protocol.RoleMuted || policy.GetRole() == protocol.RoleMuted:
		return standing{protocol.RoleMuted, rpc.Rank_MEMBER}
	}
	return standing{protocol.RoleMember, rpc.Rank_MEMBER}
}

// named is the role that a policy gives to a user by name, if any.
func named(policy *rpc.Policy, user string) string {
	switch {
	case slices.Contains(policy.GetOwners(), user):
		return protocol.RoleOwner
	case slices.Contains(policy.GetModerators(), user):
		return protocol.RoleModerator
	}
	return ""
}

// A permission is what allowed found out on the way.
type permission struct {
	standing
	policy *rpc.Policy
}

// may checks a room's name and the permission to do verb there.
func (s *Session) may(verb, room string) (permission, *protocol.Error) {
	if _, err := protocol.CanonicalRoom(room); err != nil {
		return permission{}, asError(err)
	}
	return s.allowed(verb, room)
}

// allowed decides what a user may do in a room, whose name is known to be one:
// what its claims, its role or the room's policy allow, less publishing for the
// muted.
func (s *Session) allowed(verb, room string) (permission, *protocol.Error) {
	if protocol.IsFeed(room) {
		return s.allowedInFeed(verb, room)
	}
	claims, policy := s.who(), s.srv.policy(room)
	p := permission{stand(claims, policy, room), policy}
	switch {
	case p.role == protocol.RoleMuted && verb == verbPublish:
		return p, protocol.Errorf(protocol.Muted, "you may read in this room, not publish")
	case claims.May(verb, room), slices.Contains(policy.GetVerbs(), verb), slices.Contains(token.Implied(named(policy, claims.User)), verb):
		return p, nil
	}
	return p, protocol.Errorf(protocol.Forbidden, "the token does not allow %s in this room", verb)
}

// allowedInFeed decides the same for a moderation feed: it is for those who
// moderate the room that it belongs to, and nobody writes into it.
func (s *Session) allowedInFeed(verb, feed string) (permission, *protocol.Error) {
	room := s.feedOf(feed)
	if room == "" {
		return permission{}, protocol.Errorf(protocol.Forbidden, "join the room first; its moderation feed is for its moderators")
	}
	p := permission{stand(s.who(), s.srv.policy(room), room), s.srv.policy(feed)}
	switch {
	case !p.moderates():
		return p, protocol.Errorf(protocol.Forbidden, "this is the moderation feed of a room; it is for the room's moderators")
	case verb == verbPublish:
		return p, protocol.Errorf(protocol.Forbidden, "nobody publishes to a moderation feed; publish to the room")
	case verb == verbModerate:
		return p, protocol.Errorf(protocol.Forbidden, "a moderation feed cannot be moderated; moderate the room")
	}
	return p, nil
}

// feedOf says which room a moderation feed belongs to: its name says so or, for
// a long one, this connection is in it. Empty: not known.
func (s *Session) feedOf(feed string) string {
	if room, ok := protocol.FeedOf(feed); ok {
		return room
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.seats {
		if seat := &s.seats[i]; seat.joined && protocol.FeedRoom(seat.room) == feed {
			return seat.room
		}
	}
	return ""
}

// Verbs, as in claims and policies.
const (
	verbJoin     = token.Join
	verbPublish  = token.Publish
	verbHistory  = token.History
	verbMembers  = token.Members
	verbModerate = token.Moderate
)
