// Package room is the command "barrage room": an operator's look at rooms,
// their state and their history, and an operator's hand in them, through the
// Operator service of a core node.
package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

const usage = `Usage: barrage room COMMAND [flags]

  list     rooms by name:        barrage room list [PATTERN]
  show     one room:             barrage room show ROOM
  history  its latest messages:  barrage room history ROOM [--limit N] [--from SEQ]
  policy   rules of all rooms:   barrage room policy show
                                 barrage room policy set FILE
  mute     and unmute a user:    barrage room mute ROOM USER [--for 10m] [--reason WHY]
  ban      and unban a user:     barrage room ban ROOM USER [--for 10m] [--reason WHY]
  retract  take a message back:  barrage room retract ROOM SEQ [--reason WHY]
  slow     messages of a user:   barrage room slow ROOM 5s|off
  sanctions  who is muted, banned:  barrage room sanctions ROOM
  audit    who changed what:     barrage room audit [--room ROOM]

The commands ask the core node at --server (or BARRAGE_CORE_SERVER) with the
credentials in --tls (or BARRAGE_OPERATOR_TLS); "barrage cert issue --role operator"
makes them.
`

const (
	pageRooms = 500     // rooms asked for at a time
	pageBytes = 1 << 20 // of history asked for at a time
)

type options struct {
	operator.Options `yaml:",inline"`

	Output string        `yaml:"output" short:"o" help:"table or json"`
	Limit  uint32        `yaml:"limit" short:"n" help:"how many to show at most"`
	From   uint64        `yaml:"from" help:"of history: first seq; 0: the latest"`
	For    time.Duration `yaml:"for" help:"of mute and ban: how long; 0: until it is lifted"`
	Reason string        `yaml:"reason" help:"of mute, ban and retract: why; users are told"`
	Room   string        `yaml:"room" help:"of audit: what happened in this room only"`
}

// Validate refuses outputs that do not exist.
func (o options) Validate() error {
	switch {
	case o.Output != "table" && o.Output != "json":
		return fmt.Errorf("output %q: use table or json", o.Output)
	case o.Timeout == 0:
		return fmt.Errorf("timeout must be more than 0")
	case o.Limit == 0:
		return fmt.Errorf("limit must be more than 0")
	}
	return nil
}

// client is one invocation.
type client struct {
	options
	rpc    rpc.OperatorClient
	stdout io.Writer
}

// Run runs one of the subcommands.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		return &ops.HelpRequested{Text: usage}
	}
	verb := args[0]
	o := options{Options: operator.Defaults(), Output: "table", Limit: 100}
	commands := map[string]struct {
		usage    string
		min, max int // arguments
		run      func(*client, context.Context, []string) error
	}{
		"list":      {"room list [flags] [PATTERN]", 0, 1, (*client).list},
		"show":      {"room show [flags] ROOM", 1, 1, (*client).show},
		"history":   {"room history [flags] ROOM", 1, 1, (*client).history},
		"policy":    {"room policy [flags] show|set [FILE]", 1, 2, (*client).policy},
		"mute":      {"room mute [flags] ROOM USER", 2, 2, sanction(protocol.Mute)},
		"unmute":    {"room unmute [flags] ROOM USER", 2, 2, sanction(protocol.Unmute)},
		"ban":       {"room ban [flags] ROOM USER", 2, 2, sanction(protocol.Ban)},
		"unban":     {"room unban [flags] ROOM USER", 2, 2, sanction(protocol.Unban)},
		"retract":   {"room retract [flags] ROOM SEQ", 2, 2, (*client).retract},
		"slow":      {"room slow [flags] ROOM PAUSE|off", 2, 2, (*client).slow},
		"sanctions": {"room sanctions [flags] ROOM", 1, 1, (*client).sanctions},
		"audit":     {"room audit [flags]", 0, 0, (*client).audit},
	}
	c, ok := commands[verb]
	if !ok {
		return ops.Usagef("room %s: use list, show, history, policy, mute, unmute, ban, unban, retract, slow, sanctions or audit", verb)
	}
	rest, err := ops.Flags(c.usage, &o, args[1:])
	if err != nil {
		return err
	}
	if len(rest) < c.min || len(rest) > c.max {
		return ops.Usagef("usage: barrage %s", c.usage)
	}
	conn, err := o.Dial(stderr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cl := &client{options: o, rpc: rpc.NewOperatorClient(conn), stdout: stdout}
	if err := c.run(cl, ctx, rest); err != nil {
		var usage *ops.UsageError
		if errors.As(err, &usage) {
			return err
		}
		return rpc.Explain(err, o.Server)
	}
	return nil
}

func (c *client) list(ctx context.Context, args []string) error {
	pattern := "*"
	if len(args) == 1 {
		pattern = args[0]
	}
	rooms := []roomView{} // an empty list is [] in JSON
	cursor := ""
	for len(rooms) < int(c.Limit) {
		page, err := c.rpc.ListRooms(ctx, &rpc.ListRoomsRequest{
			Pattern: pattern, Cursor: cursor, Limit: min(c.Limit-uint32(len(rooms)), pageRooms),
		})
		if err != nil {
			return err
		}
		for _, r := range page.GetRooms() {
			rooms = append(rooms, viewRoom(r))
		}
		if cursor = page.GetCursor(); cursor == "" || len(page.GetRooms()) == 0 {
			break
		}
	}
	if c.Output == "json" {
		return c.json(rooms)
	}
	return writeRooms(c.stdout, rooms, cursor != "")
}

func (c *client) show(ctx context.Context, args []string) error {
	room, err := protocol.CanonicalRoom(args[0])
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	detail, err := c.rpc.ShowRoom(ctx, &rpc.HeadRequest{Room: room})
	if err != nil {
		return err
	}
	if code := protocol.Code(detail.GetCode()); code != protocol.OK {
		return protocol.Errorf(code, "there is no room %s now; barrage room list shows those there are", room)
	}
	view := viewRoom(detail)
	if c.Output == "json" {
		return c.json(view)
	}
	return writeRoom(c.stdout, view)
}

func (c *client) history(ctx context.Context, args []string) error {
	room, err := protocol.CanonicalRoom(args[0])
	if err != nil {
		return &ops.UsageError{Err: err}
	}
	request := &rpc.HistoryRequest{
		Room: room, From: c.From, Reverse: c.From == 0,
		Limit: min(c.Limit, protocol.MaxHistory), MaxBytes: pageBytes,
	}
	page, err := c.rpc.RoomHistory(ctx, request)
	if err != nil {
		return err
	}
	if code := protocol.Code(page.GetCode()); code == protocol.NotFound {
		return protocol.Errorf(code, "there is no room %s now; barrage room list shows those there are", room)
	} else if code != protocol.OK {
		return protocol.Errorf(code, "room %s: history holds %d to %d", room, page.GetFirst(), page.GetHead())
	}
	if protocol.CRC(page.GetRecords()) != page.GetCrc() {
		return protocol.Errorf(protocol.Corrupt, "the records of room %s did not arrive as they were sent", room)
	}
	messages, err := viewMessages(page.GetRecords())
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return c.json(messages)
	}
	return writeMessages(c.stdout, messages)
}

func (c *client) json(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable keeps what users wrote from steering the operator's terminal.
func printable(s string) string { return operator.Printable(s) }
