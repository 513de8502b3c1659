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

var errQuit = errors.New("quit")

const (
	historyDefault = 20
	whoLimit       = 100 // names shown by /who
	commandTimeout = 10 * time.Second
)

const help = `/who          who is here
/history [N]  the last N messages, 20 if not said
/room NAME    go to another room
/me TEXT      say what you do
/quit         leave (so do Ctrl-D and Ctrl-C)
//TEXT        say /TEXT
moderators:   /retract N [WHY]  /mute USER [10m] [WHY]  /unmute USER  /ban USER [10m] [WHY]
              /unban USER  /slow 5s  /slow off  /approve N (in the room mod:NAME)`

// typed carries out one line: a command, or something to say.
func (t *talk) typed(ctx context.Context, line string) error {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return nil
	case strings.HasPrefix(line, "//"):
		return t.say("", line[1:])
	case !strings.HasPrefix(line, "/"):
		return t.say("", line)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	verb, rest, _ := strings.Cut(line[1:], " ")
	rest = strings.TrimSpace(rest)
	switch verb {
	case "help", "h", "?":
		for l := range strings.SplitSeq(help, "\n") {
			t.screen.print(t.screen.dim(l))
		}
		return nil
	case "quit", "q", "exit":
		return errQuit
	case "me":
		if rest == "" {
			return errors.New("say what you do: /me waves")
		}
		return t.say(kindAction, rest)
	case "who":
		return t.who(ctx)
	case "history":
		return t.history(ctx, rest)
	case protocol.Retract, protocol.Mute, protocol.Unmute, protocol.Ban, protocol.Unban, protocol.Slow, protocol.Approve:
		return t.moderate(ctx, verb, rest)
	case "room", "join":
		return t.move(ctx, rest)
	}
	return fmt.Errorf("there is no /%s; /help tells what there is", verb)
}

func (t *talk) current() (*client.Room, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.room == nil {
		return nil, errors.New("you are in no room; go to one with /room NAME")
	}
	return t.room, nil
}

func (t *talk) who(ctx context.Context) error {
	room, err := t.current()
	if err != nil {
		return err
	}
	page, err := room.Members(ctx, "", whoLimit)
	if err != nil {
		return err
	}
	if page.CountsOnly {
		t.screen.note("%s here, too many to name", count(page.Total, "member", "members"))
		return nil
	}
	var names []string
	for _, m := range page.Members {
		name := t.screen.name(m.User, clean(orElse(m.Name, m.User)), false)
		if m.Sessions > 1 {
			name += fmt.Sprintf(" (%d times)", m.Sessions)
		}
		names = append(names, name)
	}
	more := ""
	if page.Cursor != "" {
		more = " and more"
	}
	t.screen.print(t.screen.dim(fmt.Sprintf("— %d here: ", page.Total)) + strings.Join(names, ", ") + more)
	return nil
}

func (t *talk) history(ctx context.Context, arg string) error {
	n := historyDefault
	if arg != "" {
		var err error
		if n, err = strconv.Atoi(arg); err != nil || n < 1 || n > protocol.MaxHistory {
			return fmt.Errorf("say how many, 1 to %d: /history 50", protocol.MaxHistory)
		}
	}
	room, err := t.current()
	if err != nil {
		return err
	}
	page, err := room.History(ctx, client.HistoryOptions{Limit: n, Reverse: true})
	if err != nil {
		return err
	}
	t.screen.note("the last %s of %s", count(uint64(len(page.Messages)), "message", "messages"), clean(room.Name()))
	t.messages(page.Messages)
	t.screen.note("now")
	return nil
}

func (t *talk) move(ctx context.Context, name string) error {
	if name == "" {
		return errors.New("say which room: /room lobby")
	}
	if room, err := t.current(); err == nil && room.Name() == name {
		return fmt.Errorf("you are in %s", name)
	}
	return t.enter(ctx, name)
}
