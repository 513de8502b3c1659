package chat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
)

// moderate carries out a moderator's command in the room or, from its moderation
// feed, in the room that the feed is of.
func (t *talk) moderate(ctx context.Context, action, rest string) error {
	room, err := t.current()
	if err != nil {
		return err
	}
	name := room.Name()
	if of, ok := protocol.FeedOf(name); ok {
		name = of
	}
	m, err := parse(action, rest)
	if err != nil {
		return err
	}
	done, err := t.client.Moderate(ctx, name, m)
	var refusal *protocol.Error
	if errors.As(err, &refusal) && refusal.Message != "" {
		return errors.New(refusal.Message)
	}
	if err != nil {
		return err
	}
	switch end := forHow(done.Until); action {
	case protocol.Mute:
		t.screen.note("%s may not write any more%s", clean(m.User), end)
	case protocol.Ban:
		t.screen.note("%s is banned%s", clean(m.User), end)
	case protocol.Unmute:
		t.screen.note("%s may write", clean(m.User))
	case protocol.Unban:
		t.screen.note("%s may come back", clean(m.User))
	case protocol.Approve:
		t.screen.note("published in %s", clean(name))
	case protocol.Slow:
		if m.Duration == 0 {
			t.screen.note("slow mode is what the room's policy says")
		} else {
			t.screen.note("everybody may write once in %s", m.Duration)
		}
	}
	return nil
}

// parse reads what stands behind a moderator's command.
func parse(action, rest string) (client.Moderation, error) {
	m := client.Moderation{Action: action}
	first, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimSpace(rest)
	switch action {
	case protocol.Retract, protocol.Approve:
		seq, err := strconv.ParseUint(strings.TrimPrefix(first, "#"), 10, 64)
		if err != nil || seq == 0 {
			return m, fmt.Errorf("say which message, by its number: /%s 42", action)
		}
		m.Seq, m.Reason = seq, rest
		if action == protocol.Approve {
			m.Reason = ""
		}
	case protocol.Slow:
		if first == "off" {
			return m, nil
		}
		pause, err := time.ParseDuration(first)
		if err != nil || pause <= 0 {
			return m, errors.New("say how long the pause is: /slow 5s, or /slow off")
		}
		m.Duration = pause
	default:
		if first == "" {
			return m, fmt.Errorf("say whom: /%s USER", action)
		}
		m.User = first
		if action == protocol.Unmute || action == protocol.Unban {
			return m, nil
		}
		word, reason, _ := strings.Cut(rest, " ")
		if d, err := time.ParseDuration(word); err == nil && d > 0 {
			m.Duration, rest = d, strings.TrimSpace(reason)
		}
		m.Reason = rest
	}
	return m, nil
}

// sanction shows what the person here may not do any more, or again. That a ban
// has ended the room is shown with the room's state.
func (t *talk) sanction(s client.Sanction) {
	switch s.Action {
	case protocol.Mute:
		t.screen.note("you may not write here any more%s%s", forHow(s.Until), because(s.Reason))
	case protocol.Unmute:
		t.screen.note("you may write again")
	}
}

func forHow(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return " until " + clock(end, time.Now())
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + clean(reason)
}
