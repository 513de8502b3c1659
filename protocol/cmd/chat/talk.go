package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/client"
)

// kindAction is the kind of a message that says what its sender does (/me).
const kindAction = "action"

// A talk is one person in one room at a time. The client's callbacks run on one
// goroutine, the commands on another.
type talk struct {
	screen *screen
	client *client.Client
	stop   context.CancelFunc

	sending sync.WaitGroup // publishes without a verdict

	mu      sync.Mutex // guards the fields below
	room    *client.Room
	name    string // of the room
	members uint64
	away    bool   // the connection is lost, and that was shown
	greeted bool   // the room's first state was shown
	own     string // user id
	mod     bool   // moderates the room, and sees the numbers of messages
	told    bool   // the gap that comes next has been shown
}

// enter joins a room and leaves the one before.
func (t *talk) enter(ctx context.Context, name string) error {
	t.mu.Lock()
	before := t.room
	t.room, t.name, t.greeted, t.own = nil, name, false, t.client.Session().User
	t.mu.Unlock()
	if before != nil {
		if err := before.Leave(ctx); err != nil {
			return err
		}
	}
	room, err := t.client.Join(ctx, name, client.JoinOptions{Recent: recent}, client.Events{
		OnMessages: t.messages, OnGap: t.gap, OnPresence: t.presence, OnState: t.roomState, OnSanction: t.sanction,
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.room = room
	return nil
}

// converse carries out what is typed until the input ends, then waits for what
// is under way.
func (t *talk) converse(ctx context.Context, lines <-chan string) error {
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.finish(ctx)
				return nil
			}
			if err := t.typed(ctx, line); errors.Is(err, errQuit) {
				t.finish(ctx)
				return nil
			} else if err != nil && ctx.Err() == nil {
				t.screen.note("%s", clean(err.Error()))
			}
		case <-ctx.Done():
			if st := t.client.State(); st.Phase == client.Closed && !errors.Is(st.Err, context.Canceled) {
				return st.Err
			}
			return nil
		}
	}
}

// finish waits for the publishes under way.
func (t *talk) finish(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		t.sending.Wait() // ends with the publishes, at the latest when the client closes
		close(done)
	}()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		t.screen.note("left before everything was acknowledged")
	case <-ctx.Done():
	}
}

// say publishes a line.
func (t *talk) say(kind, text string) error {
	t.mu.Lock()
	name := t.name
	t.mu.Unlock()
	t.sending.Add(1)
	err := t.client.PublishAsync(name, client.Message{Kind: kind, Text: text}, func(ack client.Ack, err error) {
		defer t.sending.Done()
		if ack.Verdict == protocol.VerdictMask {
			t.screen.note("the room's filter replaced words: %q", shorten(clean(ack.Text)))
		}
		if err != nil {
			t.screen.note("%s: %q", unsent(err), shorten(clean(text)))
		}
	})
	if err != nil {
		t.sending.Done()
	}
	return err
}

// unsent says in a few words what became of a message that was not acknowledged.
func unsent(err error) string {
	var e *protocol.Error
	switch {
	case errors.Is(err, client.ErrOutcomeUnknown):
		return "not acknowledged, it may have been sent"
	case errors.As(err, &e) && e.Message != "":
		return "not sent, " + clean(e.Message)
	case errors.As(err, &e):
		return "not sent, " + strings.ReplaceAll(e.Code.Name(), "_", " ")
	case errors.Is(err, client.ErrTimeout):
		return "not sent, there was no connection"
	}
	return "not sent"
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

func (t *talk) messages(ms []client.Message) {
	t.mu.Lock()
	own, mod := t.own, t.mod
	t.mu.Unlock()
	now := time.Now()
	for _, m := range ms {
		switch {
		case m.Retracts != 0:
			t.screen.note("message %d was taken back by %s%s", m.Retracts, clean(orElse(m.Name, m.Sender)), because(m.Text))
		case m.Gone == protocol.GoneWithheld:
		default:
			t.screen.print(t.line(m, own, mod, now))
		}
	}
}

// line shows one message: 14:05 alice: hello. Moderators see its number too.
func (t *talk) line(m client.Message, own string, mod bool, now time.Time) string {
	name := clean(m.Name)
	if name == "" {
		name = clean(m.Sender)
	}
	mine := m.Sender == own && own != ""
	mark := " "
	if mine {
		mark = "›"
	}
	text := clean(m.Text)
	if text == "" && len(m.Data) > 0 {
		text = t.screen.dim(fmt.Sprintf("[%d bytes of %s]", len(m.Data), clean(orElse(m.Kind, "data"))))
	}
	switch {
	case m.Gone != "":
		text = t.screen.dim("[taken back]")
	case m.Shadow:
		text += t.screen.dim(" [only its sender and moderators see this]")
	}
	at := t.screen.dim(clock(m.Time, now))
	if mod {
		at += t.screen.dim(fmt.Sprintf(" #%d", m.Seq))
	}
	if m.Kind == kindAction {
		return fmt.Sprintf("%s %s* %s %s", at, mark, t.screen.name(m.Sender, name, mine), text)
	}
	return fmt.Sprintf("%s %s%s: %s", at, mark, t.screen.name(m.Sender, name, mine), text)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (t *talk) gap(g client.Gap) {
	t.mu.Lock()
	told := t.told
	t.told = false
	t.mu.Unlock()
	if told {
		return
	}
	if g.Reason == "epoch" {
		t.screen.note("the room was made anew; what was said before is gone")
		return
	}
	t.screen.note("%s left out (%s)", count(g.Count(), "message was", "messages were"), clean(g.Reason))
}

func (t *talk) presence(p client.Presence) {
	t.mu.Lock()
	t.members = p.Members
	prompt := t.promptLocked()
	t.mu.Unlock()
	t.screen.prompt(prompt)
	for _, m := range p.Joined {
		t.screen.note("%s came", clean(orElse(m.Name, m.User)))
	}
	for _, m := range p.Left {
		t.screen.note("%s left", clean(orElse(m.Name, m.User)))
	}
}

func (t *talk) promptLocked() string {
	return fmt.Sprintf("%s (%d)> ", clean(t.name), t.members)
}

// connection shows the loss of the connection, once for each wait that can be
// felt.
func (t *talk) connection(s client.State) {
	switch s.Phase {
	case client.Waiting:
		t.mu.Lock()
		shown := t.away
		t.away = true
		greeted := t.greeted
		t.mu.Unlock()
		switch {
		case !greeted && !shown:
			t.screen.note("cannot connect: %s; trying again %s", clean(s.Err.Error()), brief(s.Retry))
		case !shown:
			t.screen.note("connection lost, trying again %s", brief(s.Retry))
		case s.Retry >= time.Second:
			t.screen.note("still no connection, trying again %s", brief(s.Retry))
		}
	case client.Closed:
		if !errors.Is(s.Err, context.Canceled) {
			t.stop()
		}
	case client.Connecting, client.Connected:
	}
}

func (t *talk) roomState(s client.RoomState) {
	if errors.Is(s.Err, client.ErrClosed) {
		return // the command ends, and says why
	}
	if s.Err != nil {
		t.screen.note("you are no longer in the room: %s", clean(s.Err.Error()))
		return
	}
	if !s.Joined {
		return
	}
	t.mu.Lock()
	t.members = s.Members
	first, back := !t.greeted, t.away
	t.greeted, t.away, t.told = true, false, !first && back && s.Missed > 0
	t.mod = s.Role == protocol.RoleModerator || s.Role == protocol.RoleOwner
	name, prompt := clean(t.name), t.promptLocked()
	t.mu.Unlock()
	t.screen.prompt(prompt)
	switch {
	case first:
		t.screen.note("%s, %s here%s; /help tells what you can type", name, count(max(s.Members, 1), "member", "members"), survives(s.Survive))
	case back && s.Missed > 0:
		t.screen.note("back, %s missed", count(s.Missed, "message", "messages"))
	case back:
		t.screen.note("back, nothing missed")
	}
}

func survives(what string) string {
	if what == "" {
		return ""
	}
	return ", survives the loss of a " + clean(what)
}
