package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// What moderators do: Moderate.action of the schema.
const (
	Retract = "retract" // take a message back
	Mute    = "mute"    // a user may publish no more
	Unmute  = "unmute"  //
	Ban     = "ban"     // a user may be here no more
	Unban   = "unban"   //
	Slow    = "slow"    // a pause between two messages of a user
	Approve = "approve" // publish a message that the filter held
)

// Roles, the strongest first: Joined.role, and what a token or a policy gives.
const (
	RoleOwner     = "owner"
	RoleModerator = "moderator"
	RoleMember    = "member"
	RoleMuted     = "muted" // a member who may not publish
)

// Roles lists them.
func Roles() []string { return []string{RoleOwner, RoleModerator, RoleMember, RoleMuted} }

// VerdictMask is Published.verdict of a message in which words were replaced.
const VerdictMask = "mask"

// KindHeld is the kind of a message in a moderation feed that waits for approval.
const KindHeld = "held"

const (
	feedPrefix = "mod:"
	// feedDigest begins the part of a feed's name that stands for a room whose
	// own name does not fit. No room's name begins with it.
	feedDigest      = "~"
	feedDigestBytes = 24
)

// FeedRoom is the name of a room's moderation feed: the room where its
// moderators see what the filter held and flagged. A feed has none of its own.
func FeedRoom(room string) string {
	if len(feedPrefix)+len(room) <= MaxRoomName {
		return feedPrefix + room
	}
	sum := sha256.Sum256([]byte(room))
	return feedPrefix + feedDigest + hex.EncodeToString(sum[:feedDigestBytes])
}

// IsFeed reports whether a name is that of a moderation feed.
func IsFeed(name string) bool { return strings.HasPrefix(name, feedPrefix) }

// FeedOf says which room a moderation feed belongs to. ok is false for a name
// that is no feed's, and for the feed of a room whose name is too long to be
// part of another: compare FeedRoom of the rooms that may be meant.
func FeedOf(name string) (room string, ok bool) {
	room, ok = strings.CutPrefix(name, feedPrefix)
	if !ok || room == "" || strings.HasPrefix(room, feedDigest) {
		return "", false
	}
	return room, true
}

// CheckReason checks a reason: up to MaxReason bytes. An error is BadArgument.
func CheckReason(reason string) error {
	if len(reason) > MaxReason {
		return Errorf(BadArgument, "a reason must have at most %d bytes", MaxReason)
	}
	return nil
}

// CheckModerate says what is wrong with a moderator's action, whoever gives it.
// An error is BadArgument.
func CheckModerate(action, user string, seq, durationMS uint64, reason string) error {
	if err := CheckReason(reason); err != nil {
		return err
	}
	limit := uint64(0)
	switch action {
	case Mute, Ban:
		limit = uint64(MaxSanction.Milliseconds())
	case Slow:
		limit = uint64(MaxSlowMode.Milliseconds())
	}
	ofUser := slices.Contains([]string{Mute, Unmute, Ban, Unban}, action)
	ofMessage := action == Retract || action == Approve
	switch {
	case !ofUser && !ofMessage && action != Slow:
		return Errorf(BadArgument, "the action must be retract, mute, unmute, ban, unban, slow or approve")
	case ofUser && CheckUser(user) != nil:
		return Errorf(BadArgument, "%s needs a user id as tokens have it (sub)", action)
	case !ofUser && user != "":
		return Errorf(BadArgument, "%s takes no user", action)
	case ofMessage != (seq != 0):
		return Errorf(BadArgument, "retract and approve take the seq of a message, nothing else does")
	case seq > MaxSeq:
		return Errorf(BadArgument, "seq must be at most 2^53-1")
	case durationMS > limit:
		return Errorf(BadArgument, "duration_ms must be at most %d for %s", limit, action)
	}
	return nil
}

// RecordSender reads who sent a record, which has tag and length. It is a part
// of record; nil where there is no sender.
func RecordSender(record []byte) []byte {
	r, ok := openRecord(record)
	var fields bodyFields
	if !ok || !parseBody(r.body, &fields) {
		return nil
	}
	return fields[3]
}
