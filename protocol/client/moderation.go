package client

import (
	"context"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

// Moderation is what a moderator or owner of a room wants done there. Room has a
// method for each action.
type Moderation struct {
	Action   string // protocol.Retract, Mute, Unmute, Ban, Unban, Slow or Approve
	User     string // whom: mute, unmute, ban, unban
	Seq      uint64 // retract: of the message. approve: of it in the room's feed (protocol.FeedRoom)
	Duration time.Duration
	Reason   string
}

// Moderated says that it is done.
type Moderated struct {
	Seq   uint64    // retract: of the message that says so. approve: of the message
	Until time.Time // mute, ban: zero until it is lifted
}

// Sanction says what the user may not do in a room any more, or again.
type Sanction struct {
	Action string // protocol.Mute, Unmute or Ban
	Until  time.Time
	Reason string
}

// Moderate does what a moderator may do in a room, joined or not. It is repeated
// on another connection when its own breaks, which is harmless.
func (c *Client) Moderate(ctx context.Context, room string, m Moderation) (Moderated, error) {
	fail := func(err error) (Moderated, error) {
		return Moderated{}, fmt.Errorf("%s in %s: %w", m.Action, room, err)
	}
	if err := checkRoom(room); err != nil {
		return fail(err)
	}
	ms := uint64(max(m.Duration, 0).Milliseconds())
	if m.Duration > 0 && ms == 0 {
		ms = 1 // not for ever
	}
	if err := protocol.CheckModerate(m.Action, m.User, m.Seq, ms, m.Reason); err != nil {
		return fail(err)
	}
	f, err := c.call(ctx, &wire.ClientFrame{Command: &wire.ClientFrame_Moderate{Moderate: &wire.Moderate{
		Room: room, Action: m.Action, User: m.User, Seq: m.Seq, DurationMs: ms, Reason: valid(m.Reason),
	}}})
	if err != nil {
		return fail(err)
	}
	return Moderated{Seq: f.GetModerated().GetSeq(), Until: until(f.GetModerated().GetUntilMs())}, nil
}

func until(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Retract takes a message back and returns the seq of the message that says so.
func (r *Room) Retract(ctx context.Context, seq uint64, reason string) (uint64, error) {
	done, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Retract, Seq: seq, Reason: reason})
	return done.Seq, err
}

// Mute keeps a user from publishing, for d or, with 0, until Unmute. It returns
// when that ends.
func (r *Room) Mute(ctx context.Context, user string, d time.Duration, reason string) (time.Time, error) {
	done, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Mute, User: user, Duration: d, Reason: reason})
	return done.Until, err
}

// Unmute lifts a mute, if there is one.
func (r *Room) Unmute(ctx context.Context, user string) error {
	_, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Unmute, User: user})
	return err
}

// Ban takes a user out of the room and keeps it out, for d or, with 0, until
// Unban. It returns when that ends.
func (r *Room) Ban(ctx context.Context, user string, d time.Duration, reason string) (time.Time, error) {
	done, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Ban, User: user, Duration: d, Reason: reason})
	return done.Until, err
}

// Unban lifts a ban, if there is one.
func (r *Room) Unban(ctx context.Context, user string) error {
	_, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Unban, User: user})
	return err
}

// Slow sets the pause between two messages of one user; 0 goes back to what the
// room's policy says.
func (r *Room) Slow(ctx context.Context, pause time.Duration) error {
	_, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Slow, Duration: pause})
	return err
}

// Approve publishes a message that the filter held, by its seq in the room's
// moderation feed, and returns its seq in the room.
func (r *Room) Approve(ctx context.Context, seq uint64) (uint64, error) {
	done, err := r.c.Moderate(ctx, r.name, Moderation{Action: protocol.Approve, Seq: seq})
	return done.Seq, err
}

// sanctionLocked: a ban ends the room, whatever the application makes of it.
func (c *Client) sanctionLocked(l *link, m *wire.Sanction) {
	r := c.feedsLocked(l, m.GetRoom())
	if r == nil {
		return
	}
	if r.events.OnSanction != nil {
		s := Sanction{Action: m.GetAction(), Until: until(m.GetUntilMs()), Reason: m.GetReason()}
		// Not eventLocked, which would find the room gone.
		c.queue.push(event{call: func() { r.events.OnSanction(s) }})
	}
	if m.GetAction() == protocol.Ban {
		r.loseLocked(protocol.Errorf(protocol.Banned, "you are banned from this room%s", because(m)))
	}
}

func because(m *wire.Sanction) (words string) {
	if m.GetUntilMs() != 0 {
		words = " until " + until(m.GetUntilMs()).UTC().Format(time.RFC3339)
	}
	if m.GetReason() != "" {
		words += ": " + m.GetReason()
	}
	return words
}
