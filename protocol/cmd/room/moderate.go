package room

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// sanction is mute, unmute, ban and unban.
func sanction(action string) func(*client, context.Context, []string) error {
	return func(c *client, ctx context.Context, args []string) error {
		m := &rpc.Moderate{Room: args[0], Action: action, User: args[1], Reason: c.Reason, DurationMs: uint64(c.For.Milliseconds())}
		if c.For > 0 && m.DurationMs == 0 {
			m.DurationMs = 1 // not for ever
		}
		if (action == protocol.Unmute || action == protocol.Unban) && (c.For > 0 || c.Reason != "") {
			return ops.Usagef("--for and --reason go with mute and ban")
		}
		res, err := c.moderate(ctx, m)
		if err != nil {
			return err
		}
		said := map[string]string{
			protocol.Mute: "may publish no more", protocol.Unmute: "may publish", protocol.Ban: "is banned", protocol.Unban: "may come back",
		}[action]
		end := ""
		if m.DurationMs > 0 {
			end = " until " + time.UnixMilli(res.GetTimeMs()+int64(m.DurationMs)).UTC().Format(time.DateTime)
		}
		_, err = fmt.Fprintf(c.stdout, "%s %s in %s%s\n", printable(m.User), said, printable(m.Room), end)
		return err
	}
}

func (c *client) retract(ctx context.Context, args []string) error {
	seq, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return ops.Usagef("seq %q: give the number of the message, as history shows it", args[1])
	}
	res, err := c.moderate(ctx, &rpc.Moderate{Room: args[0], Action: protocol.Retract, Seq: seq, Reason: c.Reason})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "message %d of %s was taken back; message %d says so\n", seq, printable(args[0]), res.GetSeq())
	return err
}

func (c *client) slow(ctx context.Context, args []string) error {
	m := &rpc.Moderate{Room: args[0], Action: protocol.Slow}
	if args[1] != "off" {
		pause, err := time.ParseDuration(args[1])
		if err != nil || pause < time.Millisecond {
			return ops.Usagef("pause %q: say how long, such as 5s, or off to go back to the room's policy", args[1])
		}
		m.DurationMs = uint64(pause.Milliseconds())
	}
	if _, err := c.moderate(ctx, m); err != nil {
		return err
	}
	said := "as its policy says"
	if m.DurationMs > 0 {
		said = fmt.Sprintf("one message of a user in %s", milliseconds(m.DurationMs))
	}
	_, err := fmt.Fprintf(c.stdout, "%s takes %s\n", printable(m.Room), said)
	return err
}

// moderate does one thing with the rank of an operator.
func (c *client) moderate(ctx context.Context, m *rpc.Moderate) (*rpc.Result, error) {
	if _, err := protocol.CanonicalRoom(m.GetRoom()); err != nil {
		return nil, &ops.UsageError{Err: err}
	}
	if err := protocol.CheckModerate(m.GetAction(), m.GetUser(), m.GetSeq(), m.GetDurationMs(), m.GetReason()); err != nil {
		return nil, &ops.UsageError{Err: err}
	}
	res, err := c.rpc.ModerateRoom(ctx, m)
	if err != nil {
		return nil, err
	}
	if code := protocol.Code(res.GetResult().GetCode()); code != protocol.OK {
		return nil, &protocol.Error{Code: code, Message: cmp.Or(res.GetMessage(), "core refused this")}
	}
	return res.GetResult(), nil
}

// sanctionView is a sanction as this command shows it.
type sanctionView struct {
	User   string     `json:"user"`
	Action string     `json:"action"`
	Until  *time.Time `json:"until,omitempty"`
	By     string     `json:"by"`
	Rank   string     `json:"rank"` // of whoever gave it
	Reason string     `json:"reason,omitempty"`
}

type moderationView struct {
	Room       string         `json:"room"`
	SlowModeMS uint32         `json:"slow_mode_ms"`
	Sanctions  []sanctionView `json:"sanctions"`
}

func (c *client) sanctions(ctx context.Context, args []string) error {
	room, err := protocol.CanonicalRoom(args[0])
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	m, err := c.rpc.RoomModeration(ctx, &rpc.HeadRequest{Room: room})
	if err != nil {
		return err
	}
	view := moderationView{Room: room, SlowModeMS: m.GetSlowModeMs(), Sanctions: []sanctionView{}}
	for _, s := range m.GetSanctions() {
		v := sanctionView{User: s.GetUser(), Action: s.GetAction(), By: s.GetActor(), Rank: rankName(s.GetRank()), Reason: s.GetReason()}
		if s.GetUntilMs() != 0 {
			until := time.UnixMilli(s.GetUntilMs()).UTC()
			v.Until = &until
		}
		view.Sanctions = append(view.Sanctions, v)
	}
	if c.Output == "json" {
		return c.json(view)
	}
	return writeSanctions(c.stdout, view)
}

func rankName(rank uint32) string {
	names := map[rpc.Rank]string{
		rpc.Rank_MEMBER: protocol.RoleMember, rpc.Rank_MODERATOR: protocol.RoleModerator, rpc.Rank_OWNER: protocol.RoleOwner, rpc.Rank_OPERATOR: "operator",
	}
	return cmp.Or(names[rpc.Rank(rank)], fmt.Sprint("rank ", rank))
}

func writeSanctions(w io.Writer, view moderationView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "USER\tACTION\tUNTIL\tBY\tREASON") // Flush reports
	for _, s := range view.Sanctions {
		until := "lifted"
		if s.Until != nil {
			until = s.Until.Format(time.DateTime)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s (%s)\t%s\n", printable(s.User), printable(s.Action), until, printable(s.By), s.Rank, printable(s.Reason))
	}
	if view.SlowModeMS > 0 {
		_, _ = fmt.Fprintf(t, "slow mode: one message of a user in %s\n", milliseconds(uint64(view.SlowModeMS)))
	}
	return t.Flush()
}
