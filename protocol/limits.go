// Package protocol is what two Barrage processes must agree on: the client wire
// protocol with its encodings, names, codes and limits. It does no I/O; the
// transports, the SDK and the internal schemas are packages below it.
package protocol

import "time"

// Limits of the protocol, each with its unit and reason. What an operator may
// lower is in the edge's configuration; none may be raised above these.
const (
	// MaxClientFrame bounds a frame from a client, in bytes: one message of
	// MaxMessage with room for names and a token, so that an unauthenticated
	// peer can hold little.
	MaxClientFrame = 64 << 10
	// MaxServerFrame bounds a frame to a client, in bytes. A batch, a history
	// page and a joined reply stay below it.
	MaxServerFrame = 1 << 20
	// MaxMessage bounds text + data of one message, in bytes. Chat lines are
	// two orders of magnitude smaller; bigger things belong in an object store.
	MaxMessage = 32 << 10
	// MaxToken bounds a token, in bytes: common identity providers stay below 4 KiB.
	MaxToken = 16 << 10
	// MaxRoomName bounds a room name, in bytes.
	MaxRoomName = 128
	// MaxUser bounds a user id, in bytes.
	MaxUser = 128
	// MaxName bounds a display name, in bytes.
	MaxName = 128
	// MaxKey bounds a publish key, in bytes: a UUID in any spelling fits.
	MaxKey = 64
	// MaxKind bounds a message kind, in bytes.
	MaxKind = 32
	// MaxHistory bounds the messages of one history page.
	MaxHistory = 1000
	// MaxRecent bounds the recent messages a join may ask for.
	MaxRecent = 200
	// MaxMembers bounds the members of one page.
	MaxMembers = 1000
	// MaxRooms bounds the rooms of one session.
	MaxRooms = 256
	// MaxOutstanding bounds a session's publishes that are not answered yet.
	MaxOutstanding = 1024
	// MaxSeq keeps seq exact in JSON numbers (2^53-1).
	MaxSeq = 1<<53 - 1
	// KeyWindow is how long a publish may be retried under its key and still
	// be recognised. The SDK gives up before, after MaxPublishTimeout.
	KeyWindow = 2 * time.Minute
	// MaxPublishTimeout bounds a publish's timeout_ms.
	MaxPublishTimeout = time.Minute
	// MaxReason bounds the reason that a moderator gives, in bytes: a sentence or
	// two, kept with every sanction and told to every edge.
	MaxReason = 256
	// MaxSanction bounds how long a mute or ban with an end lasts: what is meant to
	// be longer has no end.
	MaxSanction = 10 * 365 * 24 * time.Hour
	// MaxSlowMode bounds the pause between two messages of a user.
	MaxSlowMode = 24 * time.Hour
)
